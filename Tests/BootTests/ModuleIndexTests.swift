import Testing

@testable import Boot

@Suite("Kernel module index")
struct ModuleIndexTests {
    private let index = ModuleIndex(
        dependencies: Array(
            """
            kernel/arch/x86/kvm/kvm-amd.ko: kernel/drivers/crypto/ccp/ccp.ko kernel/arch/x86/kvm/kvm.ko kernel/virt/lib/irqbypass.ko
            kernel/arch/x86/kvm/kvm.ko: kernel/virt/lib/irqbypass.ko
            kernel/virt/lib/irqbypass.ko:
            kernel/drivers/crypto/ccp/ccp.ko:
            kernel/drivers/virtio/virtio_pci.ko:
            kernel/drivers/net/virtio_net.ko:

            """.utf8),
        aliases: Array(
            """
            # Aliases extracted from modules themselves.
            alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
            alias virtio:d00000001v* virtio_net
            alias cpu:type:x86,ven*fam*mod*:feature:*00C2* kvm_amd
            alias fs-ext4 ext4
            alias devname:kvm kvm
            alias char-major-10-232 kvm
            alias *weird kvm

            """.utf8),
        builtIn: Array("kernel/drivers/tty/serial/8250/8250.ko\nkernel/fs/ext2-like.ko\n".utf8))

    @Test("a device's alias finds the module that drives it")
    func alias() {
        #expect(index.modules(matching: "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00") == ["virtio_pci"])
        #expect(index.modules(matching: "virtio:d00000001v00001AF4") == ["virtio_net"])
        #expect(index.modules(matching: "virtio:d00000002v00001AF4") == [])
        #expect(index.modules(matching: "cpu:type:x86,ven0002fam0017mod0001:feature:,0000,00C2,00C3") == ["kvm_amd"])
    }

    @Test("an alias without a colon, and one that starts with a wildcard, are found")
    func otherForms() {
        #expect(index.modules(matching: "char-major-10-232") == ["kvm"])
        #expect(index.modules(matching: "very:weird") == ["kvm"])
        #expect(index.modules(matching: "kvm-amd") == ["kvm_amd"])
    }

    @Test("what a module needs comes before it, what that needs before that")
    func order() throws {
        let order = try #require(index.loadOrder("kvm-amd")).map(\.name)
        #expect(order == ["irqbypass", "kvm", "ccp", "kvm_amd"])
    }

    @Test("a built-in module needs no loading, an unknown one is told apart")
    func builtIn() {
        #expect(index.loadOrder("8250")?.isEmpty == true)
        #expect(index.loadOrder("ext2_like")?.isEmpty == true)
        #expect(index.loadOrder("nonsense") == nil)
    }

    @Test(
        "shell patterns match as fnmatch does",
        arguments: [
            ("", "", true), ("*", "", true), ("a*c", "abbc", true), ("a*c", "abcb", false), ("a?c", "abc", true),
            ("a?c", "ac", false), ("[0-9a-f]", "b", true), ("[0-9a-f]", "g", false), ("[!0-9]", "x", true),
            ("[!0-9]", "5", false), ("[]x]", "]", true), ("[x", "[x", true), ("[x", "x", false), ("\\*", "*", true),
            ("\\*", "a", false), ("*a*b*c", "xxaxxbxxc", true), ("*a*b*c", "xxaxxcxxb", false), ("[a-]", "-", true),
        ])
    func patterns(pattern: String, text: String, expected: Bool) {
        #expect(ModuleIndex.matches(Array(pattern.utf8)[...], Array(text.utf8)[...]) == expected)
    }

    @Test("a pattern full of stars ends soon on a text that almost matches", .timeLimit(.minutes(1)))
    func manyStars() {
        let pattern = Array((String(repeating: "*a", count: 200) + "b").utf8)
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: 4000)
        #expect(!ModuleIndex.matches(pattern[...], text[...]))
    }
}
