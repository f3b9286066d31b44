import Testing

@testable import Display

@Suite("Handshakes of the remote framebuffer protocol, and clients that break it")
struct RFBHandshakeTests {
    private func handshake(_ security: RFBSession.Security, _ parts: [[UInt8]]) throws -> [[UInt8]] {
        var session = RFBSession(name: "n", security: security, width: 8, height: 8)
        var answers = [session.output]
        session.output = []
        for part in parts {
            do throws(RFBError) {
                try session.receive(part) { _ in }
            } catch {
                return answers + [session.output, Array("\(error)".utf8)]
            }
            answers.append(session.output)
            session.output = []
        }
        return answers
    }

    @Test(
        "version 3.3 is told its security type, 3.7 gets no result for none, and unknown ones are served as the nearest"
    )
    func versions() throws {
        let start = PixelFormat.native.bytes
        let initialisation: [UInt8] = [0, 8, 0, 8] + start + [0, 0, 0, 1, 0x6e]
        for version in ["RFB 003.003\n", "RFB 003.005\n", "RFB 003.000\n"] {
            let answers = try handshake(.none, [Array(version.utf8), [1]])
            #expect(answers[1...] == [[0, 0, 0, 1], initialisation])
        }
        let seven = try handshake(.none, [Array("RFB 003.007\n".utf8), [1], [0]])
        #expect(seven[1...] == [[1, 1], [], initialisation])
        for version in ["RFB 003.008\n", "RFB 003.889\n", "RFB 004.001\n"] {
            let answers = try handshake(.none, [Array(version.utf8), [1], [0]])
            #expect(answers[1...] == [[1, 1], [0, 0, 0, 0], initialisation])
        }
    }

    @Test("what is no version, or a security type not offered, ends the connection")
    func refusals() throws {
        for version in ["RFB 002.008\n", "GET / HTTP/1", "RFB 003,008\n", "RFB 0x3.008\n", "RFB 003.008 "] {
            let answers = try handshake(.none, [Array(version.utf8)])
            #expect(answers.last == Array(RFBError.version.description.utf8))
        }
        let answers = try handshake(.none, [Array("RFB 003.008\n".utf8), [2]])
        #expect(answers[2].starts(with: [0, 0, 0, 1]))
    }

    @Test("a password is checked by challenge and response, as other implementations compute it")
    func password() throws {
        let challenge = [UInt8](0..<16)
        let response = try #require(VNCPassword.response(to: challenge, password: "secret"))
        // openssl enc -des-ecb -nopad -K cea6c64ea62e0000: the key's bytes with their bits reversed.
        #expect(response == Self.knownResponse)
        let security = RFBSession.Security.password(challenge: challenge, expected: response)
        let version = Array("RFB 003.008\n".utf8)
        let good = try handshake(security, [version, [2], response])
        #expect(good[1...] == [[1, 2], challenge, [0, 0, 0, 0]])
        var wrong = response
        wrong[15] ^= 1
        let bad = try handshake(security, [version, [2], wrong])
        #expect(bad[3] == [0, 0, 0, 1, 0, 0, 0, 14] + Array("wrong password".utf8))
        let old = try handshake(security, [Array("RFB 003.003\n".utf8), wrong])
        #expect(old[1] == [0, 0, 0, 2] + challenge)
        #expect(old[2] == [0, 0, 0, 1])
    }

    private static let knownResponse: [UInt8] = [
        0xee, 0x22, 0x53, 0x9f, 0x33, 0xa5, 0x98, 0x3e, 0xc1, 0x2f, 0x9c, 0x2e, 0xdb, 0xc9, 0x95, 0xdd,
    ]

    // MARK: Hostile clients

    @Test("messages that nobody announced, lists without end and impossible pixels end the connection")
    func hostile() throws {
        let cases: [[UInt8]] = [
            [7], [200], [255, 1], [2, 0, 0xff, 0xff], [0, 0, 0, 0] + [UInt8](repeating: 0, count: 16),
            [0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0],
            [0, 0, 0, 0, 32, 24, 0, 1, 0, 0, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0],
            [0, 0, 0, 0, 16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 16, 5, 0, 0, 0, 0],
        ]
        for bytes in cases {
            let pair = try RFBSessionTests.Pair(RFBSessionTests.picture())
            #expect(throws: RFBError.self, "\(bytes)") { try pair.say(bytes) }
        }
    }

    @Test("requests outside the picture, and colours of more bits than a pixel has, are taken as they can be")
    func oddities() throws {
        let pair = try RFBSessionTests.Pair(RFBSessionTests.picture())
        try pair.say(RFBTestClient.request(60_000, 60_000, x: 60_000, y: 60_000, incremental: false))
        #expect(pair.client.encodings.isEmpty)
        try pair.say(RFBTestClient.request(60_000, 60_000, x: 70, y: 45, incremental: false))
        #expect(!pair.client.encodings.isEmpty)
        let odd = PixelFormat(
            bitsPerPixel: 8, depth: 200, isBigEndian: true, isMapped: false, redMax: 0xffff, greenMax: 1, blueMax: 3,
            redShift: 7, greenShift: 0, blueShift: 1)
        pair.client.format = odd
        try pair.say(RFBTestClient.setFormat(odd))
        try pair.requestAll(incremental: false)
    }
}
