import Display

/// The first byte says whether a password is wanted, and how the bytes after it come: in one piece or in small ones. While it reads them, the
/// screen changes now and then.
func fuzzRFB(_ bytes: [UInt8]) {
    guard let first = bytes.first else { return }
    var surface = Surface(width: 100, height: 40)
    for index in surface.pixels.indices { surface.pixels[index] = UInt32(index / 7 % 5) * 0x3311 }
    let security: RFBSession.Security =
        first & 1 != 0
        ? .password(challenge: [UInt8](repeating: 1, count: 16), expected: [UInt8](repeating: 2, count: 16)) : .none
    var session = RFBSession(name: "fuzz", security: security, width: surface.width, height: surface.height)
    let step = first & 2 != 0 ? Int(first >> 4) + 1 : max(bytes.count, 1)
    var position = 1
    var steps = 0
    while position < bytes.count {
        let piece = Array(bytes[position..<min(position + step, bytes.count)])
        position += piece.count
        var before = session.isRunning
        do {
            try session.receive(piece) { event in
                if case .joined = event {
                    check(!before, "a client joins once")
                    before = true
                } else {
                    check(before, "nothing happens before the client has joined")
                }
                if case .pointer(let pointer) = event {
                    check(pointer.x >= 0 && pointer.x < pointer.width, "a pointer is on the screen")
                    check(pointer.y >= 0 && pointer.y < pointer.height, "a pointer is on the screen")
                }
            }
        } catch {
            return
        }
        steps += 1
        if first & 4 != 0, steps % 3 == 0 {
            surface = Surface(width: steps % 2 == 0 ? 100 : 37, height: 40 + steps % 7)
            session.screenChanged(ScreenChange(isResized: true), width: surface.width, height: surface.height)
        }
        session.makeUpdate(from: surface)
        check(session.output.count < 1 << 20, "what waits to be sent is bounded")
        session.output.removeAll()
    }
}
