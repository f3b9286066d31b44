extension KeyboardLayout {
    /// All there are.
    public static let all: [KeyboardLayout] = [.us, german, spanish, french, italian, japanese, swedish, british]

    static let us = KeyboardLayout(
        name: "us", title: "US English",
        plain: ["`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", "<zxcvbnm,./"],
        shift: ["~!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"|", ">ZXCVBNM<>?"],
        third: "")

    private static let british = KeyboardLayout(
        name: "uk", title: "United Kingdom",
        plain: ["`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"],
        shift: ["¬!\"£$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"],
        third: "`¦4€")

    private static let german = KeyboardLayout(
        name: "de", title: "German",
        plain: ["\u{302}1234567890ß\u{301}", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"],
        shift: ["°!\"§$%&/()=?\u{300}", "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"],
        third: "2²3³7{8[9]0}-\\q@e€]~mµ<|")

    private static let french = KeyboardLayout(
        name: "fr", title: "French",
        plain: ["²&é\"'(-è_çà)=", "azertyuiop\u{302}$", "qsdfghjklmù*", "<wxcvbn,;:!"],
        shift: ["~1234567890°+", "AZERTYUIOP\u{308}£", "QSDFGHJKLM%µ", ">WXCVBN?./§"],
        third: "2~3#4{5[6|7`8\\9^0@-]=}e€]¤")

    private static let spanish = KeyboardLayout(
        name: "es", title: "Spanish",
        plain: ["º1234567890'¡", "qwertyuiop\u{300}+", "asdfghjklñ\u{301}ç", "<zxcvbnm,.-"],
        shift: ["ª!\"·$%&/()=?¿", "QWERTYUIOP\u{302}*", "ASDFGHJKLÑ\u{308}Ç", ">ZXCVBNM;:_"],
        third: "`\\1|2@3#4~6¬e€[[]]'{\\}")

    private static let italian = KeyboardLayout(
        name: "it", title: "Italian",
        plain: ["\\1234567890'ì", "qwertyuiopè+", "asdfghjklòàù", "<zxcvbnm,.-"],
        shift: ["|!\"£$%&/()=?^", "QWERTYUIOPé*", "ASDFGHJKLç°§", ">ZXCVBNM;:_"],
        third: "7{0}[[]];@'#-`=~e€")

    private static let swedish = KeyboardLayout(
        name: "se", title: "Swedish",
        plain: ["§1234567890+\u{301}", "qwertyuiopå\u{308}", "asdfghjklöä'", "<zxcvbnm,.-"],
        shift: ["½!\"#¤%&/()=?\u{300}", "QWERTYUIOPÅ\u{302}", "ASDFGHJKLÖÄ*", ">ZXCVBNM;:_"],
        third: "2@3£4$7{8[9]0}-\\e€]\u{303}<|mµ")

    /// Two keys more than others: the yen sign's, which is a backslash to computers (`KEY_YEN`), and `KEY_RO`.
    private static let japanese = KeyboardLayout(
        name: "jp", title: "Japanese (106 keys)",
        plain: ["`1234567890-^", "qwertyuiop@[", "asdfghjkl;:]", "<zxcvbnm,./"],
        shift: ["~!\"#$%&'()~=~", "QWERTYUIOP`{", "ASDFGHJKL+*}", ">ZXCVBNM<>?"],
        third: "", further: [.init(code: 124, plain: "\\", shift: "|"), .init(code: 89, plain: "\\", shift: "_")])
}
