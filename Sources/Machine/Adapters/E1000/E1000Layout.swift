/// Registers of Intel's gigabit controllers, by offset in BAR 0 ("PCI/PCI-X Family of Gigabit Ethernet Controllers Software
/// Developer's Manual", chapter 13; "82574 GbE Controller Family Datasheet", chapter 10).
enum E1000Register {
    static let control = 0x0000
    static let controlDuplicate = 0x0004
    static let status = 0x0008
    static let nvmControl = 0x0010
    static let nvmRead = 0x0014
    static let controlExtended = 0x0018
    static let mdi = 0x0020
    static let vlanType = 0x0038
    static let interruptCause = 0x00c0
    static let interruptThrottle = 0x00c4
    static let interruptCauseSet = 0x00c8
    static let interruptMaskSet = 0x00d0
    static let interruptMaskClear = 0x00d8
    static let autoClear = 0x00dc
    static let autoMask = 0x00e0
    static let vectorAllocation = 0x00e4
    /// Five of them.
    static let vectorThrottle = 0x00e8
    static let receiveControl = 0x0100
    static let transmitControl = 0x0400
    static let ownershipControl = 0x0f00
    static let packetBuffer = 0x1000
    static let manageabilityControl = 0x1010
    static let packetSplit = 0x2170
    static let receiveBaseLow = 0x2800
    static let receiveBaseHigh = 0x2804
    static let receiveLength = 0x2808
    static let receiveHead = 0x2810
    static let receiveTail = 0x2818
    static let transmitBaseLow = 0x3800
    static let transmitBaseHigh = 0x3804
    static let transmitLength = 0x3808
    static let transmitHead = 0x3810
    static let transmitTail = 0x3818
    /// From one transmit queue's registers to the next one's, on the 82574.
    static let queueStride = 0x100
    static let statistics = 0x4000
    static let statisticsEnd = 0x4130
    static let receiveChecksum = 0x5000
    static let receiveFilter = 0x5008
    static let multicastTable = 0x5200
    static let receiveAddress = 0x5400
    static let vlanTable = 0x5600
    static let softwareSemaphore = 0x5b50
    /// Nothing beyond is kept.
    static let end = 0x6000
}

/// Bits of the interrupt cause and mask registers (82574, section 10.2.4.1).
enum E1000Cause {
    static let transmitDone: UInt32 = 1 << 0
    static let transmitEmpty: UInt32 = 1 << 1
    static let link: UInt32 = 1 << 2
    static let receiveLow: UInt32 = 1 << 4
    static let receiveOverrun: UInt32 = 1 << 6
    static let received: UInt32 = 1 << 7
    static let mdiDone: UInt32 = 1 << 9
    static let receiveQueue0: UInt32 = 1 << 20
    static let receiveQueue1: UInt32 = 1 << 21
    static let transmitQueue0: UInt32 = 1 << 22
    static let transmitQueue1: UInt32 = 1 << 23
    static let other: UInt32 = 1 << 24
    static let asserted: UInt32 = 1 << 31
    /// Those that the 82574 gathers under `other`.
    static let others: UInt32 = link | receiveOverrun | mdiDone | 1 << 16 | 1 << 17 | 1 << 18
}

enum E1000Control {
    static let masterDisable: UInt32 = 1 << 2
    static let setLinkUp: UInt32 = 1 << 6
    static let reset: UInt32 = 1 << 26
    static let vlanMode: UInt32 = 1 << 30
    static let phyReset: UInt32 = 1 << 31
}

enum E1000ReceiveControl {
    static let enable: UInt32 = 1 << 1
    static let unicastPromiscuous: UInt32 = 1 << 3
    static let multicastPromiscuous: UInt32 = 1 << 4
    static let longPackets: UInt32 = 1 << 5
    static let packetSplit: UInt32 = 1 << 10
    static let broadcast: UInt32 = 1 << 15
    static let vlanFilter: UInt32 = 1 << 18
    static let sizeExtension: UInt32 = 1 << 25
    static let stripsCheckSequence: UInt32 = 1 << 26
}
