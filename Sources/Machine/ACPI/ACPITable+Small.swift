import Bytes

extension ACPITable {
    /// Where PCI configuration space is mapped (PCI Firmware Specification 3.2, 4.1.2): segment 0, buses 0 to `lastBus`.
    static func mcfg(_ configuration: ACPIConfiguration, by maker: Maker) -> ACPITable {
        var body = ByteWriter()
        body.zeros(8)
        body.little(UInt64(configuration.configurationSpaceBase))
        body.little(UInt16(0))
        body.append([0, configuration.lastBus])
        body.zeros(4)
        return ACPITable("MCFG", revision: 1, by: maker, body: body.bytes)
    }

    /// Tells Windows which old hardware faults it need not work around: one read of the PM timer is enough.
    static func waet(by maker: Maker) -> ACPITable {
        var body = ByteWriter()
        body.little(UInt32(1 << 1))
        return ACPITable("WAET", revision: 1, by: maker, body: body.bytes)
    }

    /// The serial console (Microsoft's SPCR, revision 2): 115200 baud, 8 bits, no parity, 1 stop bit.
    static func spcr(_ port: SerialPort, by maker: Maker) -> ACPITable {
        var body = ByteWriter()
        body.append([0, 0, 0, 0])  // a full 16550; reserved
        body.ioAddress(port.port, bits: 8, accessWidth: 1)
        body.append([1, port.interrupt])  // an interrupt of the 8259s
        body.little(UInt32(port.interrupt))  // and the same on the IOAPIC
        body.append([7, 0, 1, 0, 3, 0])  // 115200; no parity; 1 stop bit; no flow control; VT-UTF8; reserved
        body.little(UInt16.max)  // not a PCI device
        body.little(UInt16.max)
        body.zeros(12)  // bus, device, function, flags, segment, reserved
        return ACPITable("SPCR", revision: 2, by: maker, body: body.bytes)
    }
}
