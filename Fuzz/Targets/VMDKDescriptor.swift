import VMDK

/// A VMDK descriptor from a stranger: read, written and read again.
func fuzzVMDKDescriptor(_ bytes: [UInt8]) {
    guard var descriptor = try? VMDKDescriptor(parsing: bytes, name: "fuzz.vmdk") else { return }
    check(descriptor.sectorCount <= VMDKDescriptor.Limit.sectors, "a disk's length is bounded")
    // Not every text that can be read can be written (a later line may change what an earlier one means), but then it says so.
    if let text = try? descriptor.text(name: "fuzz.vmdk") {
        check((try? VMDKDescriptor(parsing: text, name: "fuzz.vmdk")) == descriptor, "what was written reads the same")
    }
    let before = descriptor.contentID
    descriptor.renewContentID(random: bytes)
    check(
        descriptor.contentID != before && descriptor.contentID != .max, "the content identifier changes")
}
