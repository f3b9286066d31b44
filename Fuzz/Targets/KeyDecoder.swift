import Terminal

/// Bytes from a terminal line: the same keys however they are cut, and after silence nothing waits.
func fuzzKeyDecoder(_ bytes: [UInt8]) {
    var whole = KeyDecoder()
    let keys = whole.feed(bytes)
    var pieces = KeyDecoder()
    check(bytes.flatMap { pieces.feed([$0]) } == keys, "cutting does not matter")
    check(keys.count <= bytes.count, "no more keys than bytes")
    for key in keys {
        switch key {
        case .cursorReport(let row, let column): check(row < 100_000 && column < 100_000, "sizes are bounded")
        case .character(let scalar): check(scalar.value >= 0x20 && scalar.value != 0x7f, "no control characters")
        case .function(let number): check((1...24).contains(number), "function keys are F1 to F24")
        default: break
        }
    }
    _ = whole.timeOut()
    check(!whole.isWaiting, "after silence nothing waits")
    check(whole.feed([0x61]) == [.character("a")], "a key after silence is that key")
}
