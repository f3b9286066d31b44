import Terminal

/// A dialog in which values are entered.
struct Form: Equatable, Sendable {
    /// What the values are for; decides what Enter does.
    enum Purpose: Equatable, Sendable {
        case login(Destination)
        case password, lockdown, adapters, vlan, ipv4, ipv6, dns, suffixes, keyboard, idleTimeout, networkTest
        case networkRestore
        case autostart(file: String)
    }

    /// Where a login leads.
    enum Destination: Equatable, Sendable { case settings, power }

    /// Which value a field holds.
    enum Name: Hashable, Sendable {
        case note(Int)
        case user, old, new, again
        case isOn, disabled, automatic, fixed
        case address, mask, gateway
        case address6(Int)
        case server(Int)
        case hostName, text, number
        case option(String)
    }

    struct Field: Equatable, Sendable {
        enum Kind: Equatable, Sendable {
            /// Only to read.
            case note
            case text
            /// Shown as stars.
            case secret
            case check
            /// Of all radio fields of a form one is on.
            case radio
        }
        var name: Name
        var label: String
        var kind: Kind
        var text = ""
        var isOn = false
        /// The field is dimmed unless this one is on.
        var needs: Name?
        /// Longest text.
        var limit = 255

        init(
            _ name: Name, _ label: String, _ kind: Kind = .text, text: String = "", isOn: Bool = false,
            needs: Name? = nil, limit: Int = 255
        ) {
            self.name = name
            self.label = label
            self.kind = kind
            self.text = text
            self.isOn = isOn
            self.needs = needs
            self.limit = limit
        }

        var isTextual: Bool { kind == .text || kind == .secret }
    }

    var purpose: Purpose
    var title: String
    /// Sentences above the fields.
    var introduction = ""
    var fields: [Field]
    var focus = 0
    /// Where in the focused field's text the cursor stands, in characters from its start.
    var cursor = 0
    /// Why the values were not taken.
    var error = ""

    init(_ purpose: Purpose, _ title: String, _ introduction: String = "", _ fields: [Field]) {
        self.purpose = purpose
        self.title = title
        self.introduction = introduction
        self.fields = fields
        focus = fields.indices.first { canFocus($0) && !(fields[$0].kind == .radio && !fields[$0].isOn) } ?? 0
        cursor = focused?.text.unicodeScalars.count ?? 0
    }

    var focused: Field? { fields.indices.contains(focus) ? fields[focus] : nil }

    subscript(name: Name) -> Field? { fields.first { $0.name == name } }

    func text(_ name: Name) -> String { self[name]?.text ?? "" }
    func isOn(_ name: Name) -> Bool { self[name]?.isOn ?? false }

    func isEnabled(_ index: Int) -> Bool {
        guard fields.indices.contains(index) else { return false }
        guard let needs = fields[index].needs else { return true }
        return isOn(needs)
    }

    private func canFocus(_ index: Int) -> Bool { isEnabled(index) && fields[index].kind != .note }

    /// Moves on to the next or previous field that can be used, around the end.
    mutating func move(_ step: Int) {
        guard !fields.isEmpty else { return }
        var index = focus
        for _ in fields.indices {
            index = (index + step + fields.count) % fields.count
            if canFocus(index) { break }
        }
        set(focus: index)
    }

    mutating func set(focus index: Int) {
        focus = index
        cursor = focused?.text.unicodeScalars.count ?? 0
    }

    mutating func focus(on name: Name) {
        if let index = fields.firstIndex(where: { $0.name == name }) { set(focus: index) }
    }

    /// Switches the focused check box or radio button.
    mutating func toggle() {
        guard let field = focused else { return }
        switch field.kind {
        case .check: fields[focus].isOn.toggle()
        case .radio:
            for index in fields.indices where fields[index].kind == .radio { fields[index].isOn = index == focus }
        case .note, .text, .secret: break
        }
    }

    /// Changes the focused text.
    ///
    /// - Returns: whether the key means something to a text.
    mutating func edit(_ key: Key) -> Bool {
        guard let field = focused, field.isTextual else { return false }
        var scalars = Array(field.text.unicodeScalars)
        cursor = min(cursor, scalars.count)
        switch key {
        case .character(let scalar):
            if scalars.count < field.limit {
                scalars.insert(scalar, at: cursor)
                cursor += 1
            }
        case .backspace:
            if cursor > 0 {
                cursor -= 1
                scalars.remove(at: cursor)
            }
        case .delete: if cursor < scalars.count { scalars.remove(at: cursor) }
        case .control("U"):
            scalars.removeFirst(cursor)
            cursor = 0
        case .left: cursor = max(0, cursor - 1)
        case .right: cursor = min(scalars.count, cursor + 1)
        case .home: cursor = 0
        case .end: cursor = scalars.count
        default: return false
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        fields[focus].text = String(text)
        return true
    }
}
