internal import CNcurses
import Terminal

/// How the styles look on a terminal.
///
/// Two tones: indigo with near-white text above, mint with ink below; every pair of text and ground has a contrast of at least 4.5 : 1
/// (WCAG 2, success criterion 1.4.3), and no meaning rests on colour alone. Terminals with 256 colours get the nearest of theirs; the
/// Linux console, whose eight colours can be set, gets exactly these; others get blue and cyan for indigo and mint. Terminals without
/// colours get reverse, bold and underlined text.
struct Palette {
    struct Look: Equatable {
        var attributes: UInt32 = 0
        var pair: Int16 = 0
    }

    private enum Tone: Int16, CaseIterable {
        case ink = 0
        case crimson = 1
        case green = 2
        case slate = 3
        case indigo = 4
        case lavender = 5
        case mint = 6
        case white = 7

        /// Red, green and blue, from 0 to 255.
        var rgb: (Int16, Int16, Int16) {
            switch self {
            case .ink: (14, 18, 34)
            case .crimson: (150, 16, 48)
            case .green: (10, 92, 66)
            case .slate: (66, 82, 96)
            case .indigo: (36, 40, 104)
            case .lavender: (176, 184, 236)
            case .mint: (196, 230, 218)
            case .white: (244, 246, 246)
            }
        }

        /// The nearest in the usual table of 256.
        var indexed: Int16 {
            switch self {
            case .ink: 233
            case .crimson: 88
            case .green: 22
            case .slate: 239
            case .indigo: 17
            case .lavender: 147
            case .mint: 152
            case .white: 255
            }
        }

        /// One of the eight that every colour terminal has.
        var basic: Int16 {
            switch self {
            case .ink, .green, .slate: 0
            case .crimson: 1
            case .indigo: 4
            case .lavender, .white: 7
            case .mint: 6
            }
        }
    }

    private enum Depth { case none, eight, eightOwn, indexed }

    private let depth: Depth

    init(colors: Int, canChange: Bool) {
        depth = colors >= 256 ? .indexed : colors >= 8 ? (canChange ? .eightOwn : .eight) : .none
        if depth == .none { return }
        if depth == .eightOwn {
            // ncurses counts to 1000.
            for tone in Tone.allCases {
                let (red, green, blue) = tone.rgb
                init_color(
                    tone.rawValue, Int16(Int(red) * 1000 / 255), Int16(Int(green) * 1000 / 255),
                    Int16(Int(blue) * 1000 / 255))
            }
        }
        for style in Style.allCases {
            let (text, ground) = Self.tones(style)
            init_pair(Int16(style.rawValue) + 1, number(text), number(ground))
        }
        // White on black, and the reverse, for high contrast.
        init_pair(Self.contrastPair, contrast(7, 15), contrast(0, 16))
        init_pair(Self.contrastPair + 1, contrast(0, 16), contrast(7, 15))
    }

    private static let contrastPair = Int16(Style.allCases.count) + 1

    private func contrast(_ basic: Int16, _ indexed: Int16) -> Int16 { depth == .indexed ? indexed : basic }

    private func number(_ tone: Tone) -> Int16 {
        switch depth {
        case .indexed: tone.indexed
        case .eightOwn: tone.rawValue
        case .eight, .none: tone.basic
        }
    }

    private static func tones(_ style: Style) -> (Tone, Tone) {
        switch style {
        case .night, .nightStrong: (.white, .indigo)
        case .nightFaint: (.lavender, .indigo)
        case .day, .dayStrong: (.ink, .mint)
        case .dayFaint: (.slate, .mint)
        case .warning: (.crimson, .mint)
        case .good: (.green, .mint)
        case .bar: (.white, .ink)
        case .barKey: (.mint, .ink)
        case .selection: (.white, .indigo)
        case .selectionFaint: (.lavender, .indigo)
        case .frame: (.indigo, .white)
        case .dialog: (.ink, .white)
        case .dialogFaint: (.slate, .white)
        case .dialogWarning: (.crimson, .white)
        case .field: (.ink, .mint)
        case .fieldFocused: (.white, .indigo)
        }
    }

    func look(_ style: Style, highContrast: Bool) -> Look {
        var look = Look()
        switch style {
        // Bold turns dark colours into bright ones on terminals of eight colours.
        case .dayStrong: if depth == .indexed || depth == .none || highContrast { look.attributes = WAFER_CURSES_BOLD }
        case .nightStrong: look.attributes = WAFER_CURSES_BOLD
        default: break
        }
        if depth != .none, !highContrast {
            look.pair = Int16(style.rawValue) + 1
            return look
        }
        let isReverse: Bool
        switch style {
        case .bar, .barKey, .selection, .selectionFaint, .fieldFocused: isReverse = true
        default: isReverse = false
        }
        switch style {
        // Bold black on white is grey on terminals of eight colours.
        case .barKey: if depth == .indexed || depth == .none { look.attributes |= WAFER_CURSES_BOLD }
        case .warning, .dialogWarning, .frame: look.attributes |= WAFER_CURSES_BOLD
        case .field: look.attributes |= WAFER_CURSES_UNDERLINE
        default: break
        }
        if depth == .none {
            if isReverse { look.attributes |= WAFER_CURSES_REVERSE }
        } else {
            look.pair = Self.contrastPair + (isReverse ? 1 : 0)
        }
        return look
    }
}
