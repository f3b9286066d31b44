/// A key as the person pressed it, or an answer of the terminal that came the same way.
public enum Key: Hashable, Sendable {
    /// A printable character.
    case character(Unicode.Scalar)
    /// Control and a letter, `A` to `Z`, that has no name of its own below.
    case control(Unicode.Scalar)
    case enter, escape, tab, backTab, backspace, delete, insert
    case up, down, left, right, home, end, pageUp, pageDown
    /// F1 to F24.
    case function(UInt8)
    /// Not a key: the terminal tells where its cursor stands, counted from 1. Asked for to learn the size of a serial terminal.
    case cursorReport(row: Int, column: Int)

    /// The space bar.
    public static let space = Key.character(" ")
}
