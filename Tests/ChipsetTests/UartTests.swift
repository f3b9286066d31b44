import Chipset
import DeviceModel
import Synchronization
import Testing

final class ProbeLine: InterruptLine {
    let level = Mutex(false)
    var isUp: Bool { level.withLock { $0 } }
    func set(_ level: Bool) { self.level.withLock { $0 = level } }
}

final class ProbeBackend: CharacterBackend {
    let sent = Mutex<[UInt8]>([])
    let roomCalls = Mutex(0)
    func transmit(_ bytes: Span<UInt8>) { for index in bytes.indices { sent.withLock { $0.append(bytes[index]) } } }
    func setReceiver(_ receiver: (any CharacterReceiver)?) {}
    func receiverHasRoom() { roomCalls.withLock { $0 += 1 } }
}

@Suite("16550 serial port")
struct UartTests {
    let line = ProbeLine()
    let backend = ProbeBackend()
    let uart: Uart16550

    init() { uart = Uart16550(interrupt: line, backend: backend) }

    func read(_ offset: UInt64) -> UInt64 { uart.read(region: 0, offset: offset, width: 1) }
    func write(_ offset: UInt64, _ value: UInt64) { uart.write(region: 0, offset: offset, width: 1, value: value) }

    @Test("bytes written while the divisor latch is closed go out; behind it they set the divisor")
    func transmit() {
        write(0, 0x41)
        write(3, 0x80)
        write(0, 0x01)
        write(1, 0x02)
        #expect(read(0) == 1 && read(1) == 2)
        write(3, 0x03)
        write(0, 0x42)
        #expect(backend.sent.withLock { $0 } == [0x41, 0x42])
    }

    @Test("firmware's probe: IER reads back and IIR says transmitter empty")
    func probe() {
        write(1, 2)
        #expect(read(1) == 2)
        #expect(line.isUp)
        #expect(read(2) == 2, "reading the reason clears it")
        #expect(read(2) == 1)
        #expect(!line.isUp)
        write(0, 0)
        #expect(line.isUp)
    }

    @Test("the receive FIFO takes 16 bytes, then asks again when it is empty; without FIFO one byte")
    func receive() {
        let bytes = [UInt8](0..<20)
        #expect(uart.receive(bytes.span) == 1)
        #expect(read(0) == 0)
        write(2, 1)
        write(1, 1)
        #expect(uart.receive(bytes.span) == 16)
        #expect(line.isUp)
        #expect(read(2) == 0xc4)
        for byte in 0..<16 {
            #expect(read(5) & 1 == 1)
            #expect(read(0) == UInt64(byte))
        }
        #expect(read(5) == 0x60)
        #expect(!line.isUp)
        #expect(backend.roomCalls.withLock { $0 } == 2)
    }

    @Test("loop mode returns what is sent and the modem outputs, and nothing goes out")
    func loop() {
        write(4, 0x1b)
        write(2, 1)
        write(0, 0x5a)
        #expect(read(0) == 0x5a)
        #expect(read(6) == 0xb0)
        write(4, 0x10)
        #expect(read(6) == 0)
        #expect(backend.sent.withLock { $0 }.isEmpty)
    }

    @Test("a width other than one byte, which no port has, does no harm")
    func widths() {
        #expect(uart.read(region: 0, offset: 0, width: 4) == 0xffff_ffff)
        uart.write(region: 0, offset: 0, width: 2, value: 0x4141)
        #expect(backend.sent.withLock { $0 }.isEmpty)
    }
}
