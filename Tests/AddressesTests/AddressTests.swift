import Addresses
import Testing

@Suite("Addresses")
struct AddressTests {
    @Test(
        "IPv6 text is read in every form and written in the canonical one (RFC 5952)",
        arguments: [
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("::ffff:10.0.2.15", "::ffff:a00:20f"),
            ("fe80::0202:b3ff", "fe80::202:b3ff"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ])
    func ipv6(text: String, canonical: String) {
        #expect(IPv6Address(text)?.description == canonical)
    }

    @Test(
        "what is no IPv6 address is refused",
        arguments: [
            "", ":", ":::", "1", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", ":1", "1:", "+1::",
            "::1.2.3", "1.2.3.4::", "1.2.3.4", "1:2:3:4:5:6:7::8:9",
        ])
    func notIPv6(text: String) {
        #expect(IPv6Address(text) == nil)
    }

    @Test("a network has a prefix that fits")
    func network() {
        #expect(IPv6Network("fd00::5/64")?.description == "fd00::5/64")
        for text in ["fd00::5", "fd00::5/129", "fd00::5/", "fd00::5/+4", "/64", "::/ 4"] {
            #expect(IPv6Network(text) == nil)
        }
    }

    @Test("IPv4 masks and prefixes are the same thing")
    func masks() {
        for prefix in 0...32 { #expect(IPv4Address.mask(prefix: prefix).prefixOfMask == prefix) }
        #expect(IPv4Address(255, 0, 255, 0).prefixOfMask == nil)
        #expect(IPv4Address("255.255.255.256") == nil && IPv4Address("1.2.3") == nil && IPv4Address("+1.2.3.4") == nil)
        #expect(IPv4Address("169.254.3.4")?.isLinkLocal == true)
    }
}
