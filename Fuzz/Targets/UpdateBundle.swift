import BootMedium

/// The head of an update from a stranger, and its manifest as if the signature had been good.
func fuzzUpdateBundle(_ bytes: [UInt8]) {
    if let length = try? UpdateBundle.lengthAfterHeader(bytes) {
        check(length > 0 && length <= Manifest.sizeMax + UpdateBundle.signatureSize, "a head has a bounded length")
    }
    if let bundle = try? UpdateBundle(parsing: bytes) {
        check(
            bytes.starts(with: bundle.bytes), "a head that was read is written the same")
        fuzzManifest(bundle.manifest)
    }
    fuzzManifest(bytes)
}

private func fuzzManifest(_ bytes: [UInt8]) {
    guard let manifest = try? Manifest(parsing: bytes) else { return }
    check(manifest.parts.count <= Manifest.partsMax, "the number of parts is bounded")
    check((try? Manifest(parsing: Array(manifest.text.utf8))) == manifest, "what was written reads the same")
}
