import TimeSync

/// An answer from a time server, and what it does to the clock.
func fuzzNTPPacket(_ bytes: [UInt8]) {
    if let packet = NTPPacket(bytes) {
        check(NTPPacket(packet.bytes) == packet, "what was written reads the same")
    }
    // The client sent its answer's origin, at about the time the answer says.
    guard let packet = NTPPacket(bytes) else { return }
    let sent = NTPTimestamp(bits: packet.receive.bits &- 1000)
    let received = NTPTimestamp(bits: packet.transmit.bits &+ 2000)
    guard
        let sample = try? NTPSample(bytes, nonce: packet.origin.bits, sent: sent, received: received, time: 1)
    else { return }
    check(sample.offset.isFinite && sample.delay > 0, "an offset is a number")
    check(sample.distance < NTPSample.distanceMax, "an answer is not too wrong")
    guard let combined = NTPSelection.combine([sample]) else { return check(false, "one server is a majority") }
    check(abs(combined.offset - sample.offset) < 1e-6 * max(1, abs(sample.offset)), "one server is believed")
    var discipline = ClockDiscipline()
    if case .slew(let seconds, _) = discipline.measured(offset: combined.offset, poll: 6) {
        check(abs(seconds) <= 0.5, "the kernel's loop gets what it can take")
    }
}
