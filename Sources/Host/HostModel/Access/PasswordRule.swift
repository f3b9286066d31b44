/// Which passwords are good enough: the rule of ESXi's direct console.
///
/// Four classes of characters count: lower-case letters, upper-case letters, digits, all others. A capital at the beginning and
/// a digit at the end do not make a class, as people put them there anyway.
public enum PasswordRule {
    /// In characters.
    public static let lengthMin = 7
    /// In bytes of UTF-8.
    public static let sizeMax = 255
    public static let classesMin = 3
    /// Different characters.
    public static let charactersMin = 4

    /// What is wrong with a new password; empty if nothing is.
    ///
    /// - Parameter old: the password until now; nil if there is none or it is not known.
    public static func problems(_ password: String, user: String, old: String? = nil) -> [String] {
        var problems: [String] = []
        if password.count < lengthMin { problems.append("The password must have at least \(lengthMin) characters.") }
        if password.utf8.count > sizeMax { problems.append("The password is longer than \(sizeMax) bytes.") }
        if password.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) {
            problems.append("The password has a control character in it.")
        }
        if classes(of: password) < classesMin {
            problems.append(
                "The password must mix at least \(classesMin) of: lower-case letters, capitals, digits, other characters; "
                    + "a capital at the beginning or a digit at the end does not count.")
        }
        if !user.isEmpty, password.lowercased().contains(user.lowercased()) {
            problems.append("The password must not contain the account's name.")
        }
        if let old, !old.isEmpty, old == password { problems.append("The password is the old one.") }
        if Set(password).count < charactersMin { problems.append("The password repeats too few characters.") }
        return problems
    }

    /// How many classes of characters a password has.
    static func classes(of password: String) -> Int {
        let characters = Array(password)
        var lower = false
        var upper = false
        var digit = false
        var other = false
        for (index, character) in characters.enumerated() {
            switch character {
            case "a"..."z": lower = true
            case "A"..."Z": if index > 0 { upper = true }
            case "0"..."9": if index < characters.count - 1 { digit = true }
            default: other = true
            }
        }
        return [lower, upper, digit, other].count { $0 }
    }
}
