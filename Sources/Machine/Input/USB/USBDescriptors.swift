/// Numbers of USB 2.0, chapter 9, and of HID 1.11, chapter 7.
enum USBRequest {
    static let getStatus: UInt8 = 0
    static let clearFeature: UInt8 = 1
    static let setFeature: UInt8 = 3
    static let getDescriptor: UInt8 = 6
    static let getConfiguration: UInt8 = 8
    static let setConfiguration: UInt8 = 9
    static let getInterface: UInt8 = 10
    static let setInterface: UInt8 = 11

    static let getReport: UInt8 = 1
    static let getIdle: UInt8 = 2
    static let getProtocol: UInt8 = 3
    static let setReport: UInt8 = 9
    static let setIdle: UInt8 = 10
    static let setProtocol: UInt8 = 11
}

enum USBDescriptorType {
    static let device: UInt8 = 1
    static let configuration: UInt8 = 2
    static let string: UInt8 = 3
    static let interface: UInt8 = 4
    static let endpoint: UInt8 = 5
    static let deviceQualifier: UInt8 = 6
    static let hid: UInt8 = 0x21
    static let report: UInt8 = 0x22
}

/// What a HID device with one interface and one interrupt endpoint says about itself (USB 2.0, section 9.6; HID 1.11,
/// sections 6.2 and 7.1). A high-speed device.
struct HIDDescriptors: Sendable {
    let device: [UInt8]
    let qualifier: [UInt8]
    let configuration: [UInt8]
    let hid: [UInt8]
    let report: [UInt8]
    private let strings: [[UInt8]]

    /// - Parameters:
    ///   - product: the device's number under the vendor number.
    ///   - isBootKeyboard: the interface speaks the keyboard's boot protocol.
    ///   - maximumPacket: the longest report.
    init(product: UInt16, name: String, isBootKeyboard: Bool, maximumPacket: UInt8, report: [UInt8]) {
        let (productLow, productHigh) = (UInt8(truncatingIfNeeded: product), UInt8(truncatingIfNeeded: product >> 8))
        // Vendor 0627 ("Adomax") is what guests know the tablets and keyboards of virtual machines by.
        device = [
            18, USBDescriptorType.device, 0x00, 0x02, 0, 0, 0, 64, 0x27, 0x06, productLow, productHigh, 0x00, 0x01, 1,
            2,
            3, 1,
        ]
        qualifier = [10, USBDescriptorType.deviceQualifier, 0x00, 0x02, 0, 0, 0, 64, 1, 0]
        let reportLow = UInt8(truncatingIfNeeded: report.count)
        let reportHigh = UInt8(truncatingIfNeeded: report.count >> 8)
        let hid: [UInt8] = [
            9, USBDescriptorType.hid, 0x11, 0x01, 0, 1, USBDescriptorType.report, reportLow, reportHigh,
        ]
        let interface: [UInt8] = [
            9, USBDescriptorType.interface, 0, 0, 1, 3, isBootKeyboard ? 1 : 0, isBootKeyboard ? 1 : 0, 0,
        ]
        // Interval 4 is every 2^3 microframes: a millisecond.
        let endpoint: [UInt8] = [7, USBDescriptorType.endpoint, 0x81, 3, maximumPacket, 0, 4]
        let body = interface + hid + endpoint
        // Bus-powered with remote wake-up, 100 mA.
        configuration =
            [9, USBDescriptorType.configuration, UInt8(truncatingIfNeeded: 9 + body.count), 0, 1, 1, 0, 0xa0, 50] + body
        self.hid = hid
        self.report = report
        strings = [
            [4, USBDescriptorType.string, 0x09, 0x04], Self.string("Wafer"), Self.string(name), Self.string("1"),
        ]
    }

    private static func string(_ text: String) -> [UInt8] {
        let units = Array(text.utf16)
        return [UInt8(truncatingIfNeeded: 2 + 2 * units.count), USBDescriptorType.string]
            + units.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    /// The descriptor that a request's value names; nil if there is none.
    func descriptor(_ value: UInt16) -> [UInt8]? {
        let index = Int(value & 0xff)
        switch UInt8(truncatingIfNeeded: value >> 8) {
        case USBDescriptorType.device where index == 0: return device
        case USBDescriptorType.configuration where index == 0: return configuration
        case USBDescriptorType.deviceQualifier where index == 0: return qualifier
        case USBDescriptorType.string where index < strings.count: return strings[index]
        case USBDescriptorType.hid where index == 0: return hid
        case USBDescriptorType.report where index == 0: return report
        default: return nil
        }
    }
}
