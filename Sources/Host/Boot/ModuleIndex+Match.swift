extension ModuleIndex {
    /// Whether a shell pattern with `*`, `?` and `[…]` matches the whole text, as fnmatch(3) without flags.
    ///
    /// Takes time in proportion to the product of the lengths at worst: on a mismatch only the last `*` is retried.
    static func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var at = pattern.startIndex
        var position = text.startIndex
        var retry: (pattern: Int, text: Int)?
        while true {
            if at == pattern.endIndex {
                if position == text.endIndex { return true }
            } else if pattern[at] == UInt8(ascii: "*") {
                at += 1
                retry = (at, position)
                continue
            } else if position < text.endIndex, let next = step(pattern, at, text[position]) {
                at = next
                position += 1
                continue
            }
            guard let last = retry, last.text < text.endIndex else { return false }
            at = last.pattern
            position = last.text + 1
            retry = (last.pattern, position)
        }
    }

    /// Where the pattern goes on after it took `byte`; nil if it does not take it.
    private static func step(_ pattern: ArraySlice<UInt8>, _ at: Int, _ byte: UInt8) -> Int? {
        switch pattern[at] {
        case UInt8(ascii: "?"): return at + 1
        case UInt8(ascii: "["):
            guard let set = set(pattern, at) else { return byte == pattern[at] ? at + 1 : nil }
            var found = false
            var member = set.members.startIndex
            let members = set.members
            while member < members.endIndex {
                if member + 2 < members.endIndex, members[member + 1] == UInt8(ascii: "-") {
                    if members[member] <= byte && byte <= members[member + 2] { found = true }
                    member += 3
                } else {
                    if members[member] == byte { found = true }
                    member += 1
                }
            }
            return found != set.negated ? set.end : nil
        case UInt8(ascii: "\\") where at + 1 < pattern.endIndex:
            return pattern[at + 1] == byte ? at + 2 : nil
        case let literal:
            return literal == byte ? at + 1 : nil
        }
    }

    /// The `[…]` that begins at `at`; nil if it is not closed and so stands for itself.
    private static func set(
        _ pattern: ArraySlice<UInt8>, _ at: Int
    ) -> (members: ArraySlice<UInt8>, negated: Bool, end: Int)? {
        var start = at + 1
        guard start < pattern.endIndex else { return nil }
        let negated = pattern[start] == UInt8(ascii: "!") || pattern[start] == UInt8(ascii: "^")
        if negated { start += 1 }
        // A `]` that comes first is a member.
        guard start < pattern.endIndex,
            let close = pattern[(start + 1)...].firstIndex(of: UInt8(ascii: "]"))
        else { return nil }
        return (pattern[start..<close], negated, close + 1)
    }
}
