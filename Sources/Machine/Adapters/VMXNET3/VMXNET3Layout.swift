/// The registers and shared structures of vmxnet3, revision 1, as Linux's `vmxnet3_defs.h` and `upt1_defs.h` give them.
/// All numbers are little-endian.
enum VMXNET3 {
    static let vendor: UInt16 = 0x15ad
    static let device: UInt16 = 0x07b0

    static let transmitQueuesMax = 8
    static let receiveQueuesMax = 16
    static let ringSizeMax = 4096
    static let receiveCompletionsMax = 8192
    static let ringAlignment: UInt64 = 512
    static let interruptsMax = 25

    /// BAR 0, the doorbells and interrupt masks ("PT").
    enum Doorbell {
        static let bar = 0
        static let interruptMask: UInt64 = 0x000
        static let transmit: UInt64 = 0x600
        static let receive: UInt64 = 0x800
        static let receiveSecond: UInt64 = 0xa00
        static let stride: UInt64 = 8
    }

    /// BAR 1, everything else ("VD").
    enum Register {
        static let bar = 1
        static let revision: UInt64 = 0x00
        static let uptVersion: UInt64 = 0x08
        static let sharedLow: UInt64 = 0x10
        static let sharedHigh: UInt64 = 0x18
        static let command: UInt64 = 0x20
        static let addressLow: UInt64 = 0x28
        static let addressHigh: UInt64 = 0x30
        static let interruptCause: UInt64 = 0x38
        static let eventCause: UInt64 = 0x40
    }

    enum Command {
        static let activate: UInt32 = 0xcafe_0000
        static let quiesce: UInt32 = 0xcafe_0001
        static let reset: UInt32 = 0xcafe_0002
        static let updateReceiveMode: UInt32 = 0xcafe_0003
        static let updateAddressFilters: UInt32 = 0xcafe_0004
        static let updateVLANFilters: UInt32 = 0xcafe_0005
        static let updateFeatures: UInt32 = 0xcafe_0009
        static let getQueueStatus: UInt32 = 0xf00d_0000
        static let getStatistics: UInt32 = 0xf00d_0001
        static let getLink: UInt32 = 0xf00d_0002
        static let getPermanentAddressLow: UInt32 = 0xf00d_0003
        static let getPermanentAddressHigh: UInt32 = 0xf00d_0004
        static let getDeviceLow: UInt32 = 0xf00d_0005
        static let getDeviceHigh: UInt32 = 0xf00d_0006
        static let getExtraInfo: UInt32 = 0xf00d_0007
        static let getInterruptConfiguration: UInt32 = 0xf00d_0008
        /// Those from here on answer with a number, those below with success or failure.
        static let firstGet: UInt32 = 0xf00d_0000
    }

    /// Offsets in the structure that a driver shares (`Vmxnet3_DriverShared`).
    enum Shared {
        static let magicValue: UInt32 = 0xbabe_fee1
        static let count = 720
        static let magic: UInt64 = 0
        static let features: UInt64 = 24
        static let queueDescriptors: UInt64 = 40
        static let queueDescriptorsCount: UInt64 = 52
        static let mtu: UInt64 = 56
        static let scatterMax: UInt64 = 60
        static let transmitQueues: UInt64 = 62
        static let receiveQueues: UInt64 = 63
        static let autoMask: UInt64 = 80
        static let eventInterrupt: UInt64 = 82
        static let interruptControl: UInt64 = 108
        static let receiveMode: UInt64 = 120
        static let multicastCount: UInt64 = 124
        static let multicastTable: UInt64 = 128
        static let vlanTable: UInt64 = 136
        static let events: UInt64 = 696
    }

    /// Bits of the features that a driver asks for (`UPT1_F_…`).
    enum Feature {
        static let receiveChecksum: UInt64 = 1
        static let receiveVLAN: UInt64 = 4
        static let largeReceive: UInt64 = 8
    }

    /// Bits of the receive mode (`VMXNET3_RXM_…`).
    enum ReceiveMode {
        static let unicast: UInt32 = 1
        static let multicast: UInt32 = 2
        static let broadcast: UInt32 = 4
        static let allMulticast: UInt32 = 8
        static let promiscuous: UInt32 = 16
    }

    /// Bits of the event cause (`VMXNET3_ECR_…`).
    enum Event {
        static let receiveError: UInt32 = 1
        static let transmitError: UInt32 = 2
        static let link: UInt32 = 4
    }

    /// Offsets in a queue's descriptor, transmit or receive, and what its parts mean.
    enum Queue {
        static let count: UInt64 = 256
        /// Receive: the driver rings when it has refilled a ring.
        static let updateProducer: UInt64 = 0
        static let configuration: UInt64 = 16
        static let stopped: UInt64 = 80
        static let error: UInt64 = 84
        static let statistics: UInt64 = 88
    }

    /// What stopped a queue (`VMXNET3_ERR_…`).
    enum QueueError {
        static let noEndOfPacket: UInt32 = 0x8000_0000
        static let smallBuffer: UInt32 = 0x8000_0004
        static let invalidDescriptor: UInt32 = 0x8000_0007
    }
}
