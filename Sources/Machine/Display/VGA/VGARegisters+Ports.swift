extension VGARegisters {
    /// First of the legacy ports, and how many there are.
    static let firstPort: UInt16 = 0x3b0
    static let portCount: UInt16 = 0x30

    // Which bits of the registers exist.
    private static let sequencerMasks: InlineArray<8, UInt8> = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff]
    private static let graphicsMasks: InlineArray<16, UInt8> = [
        0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0,
    ]
    /// Bits of CRT controller register 11 and 7: protection of the registers 0 to 7, and the one bit that is exempt from it.
    private static let protect: UInt8 = 0x80
    private static let lineCompareBit: UInt8 = 0x10

    /// The CRT controller, the feature control and status register 1 move between 3Bx and 3Dx.
    private func answers(_ port: UInt16) -> Bool {
        let isColour = miscellaneous & 1 != 0
        switch port {
        case 0x3b0...0x3bf: return !isColour
        case 0x3d0...0x3df: return isColour
        default: return true
        }
    }

    /// Reads a port of 3B0 to 3DF. A read of status register 1 makes the attribute controller expect an index.
    mutating func read(port: UInt16) -> UInt8 {
        guard answers(port) else { return 0xff }
        switch port {
        case 0x3c0: return attributeExpectsData ? 0 : attributeIndex
        case 0x3c1: return attributeIndex & 0x1f < 0x15 ? attribute[Int(attributeIndex & 0x1f)] : 0
        // Input status 0: a colour display is attached, no interrupt.
        case 0x3c2: return 0
        case 0x3c4: return sequencerIndex
        case 0x3c5: return sequencer[Int(sequencerIndex & 7)]
        case 0x3c6: return dacMask
        case 0x3c7: return dacState
        case 0x3c8: return dacWriteIndex
        case 0x3c9: return readDAC()
        case 0x3ca: return featureControl
        case 0x3cc: return miscellaneous
        case 0x3ce: return graphicsIndex
        case 0x3cf: return graphics[Int(graphicsIndex & 15)]
        case 0x3b4, 0x3d4: return crtcIndex
        case 0x3b5, 0x3d5: return crtcIndex < 0x19 ? crtc[Int(crtcIndex & 31)] : 0
        case 0x3ba, 0x3da:
            attributeExpectsData = false
            // Nothing is scanned out, so there is no beam to tell of; who waits for either state sees it at the next read.
            status ^= 0x09
            return status
        default: return 0xff
        }
    }

    /// Writes a port of 3B0 to 3DF.
    mutating func write(port: UInt16, _ value: UInt8) {
        guard answers(port) else { return }
        switch port {
        case 0x3c0: writeAttribute(value)
        case 0x3c2: miscellaneous = value & ~0x10
        case 0x3c4: sequencerIndex = value & 7
        case 0x3c5:
            let index = Int(sequencerIndex & 7)
            sequencer[index] = value & Self.sequencerMasks[index]
        case 0x3c6: dacMask = value
        case 0x3c7:
            dacReadIndex = value
            dacComponent = 0
            dacState = 3
        case 0x3c8:
            dacWriteIndex = value
            dacComponent = 0
            dacState = 0
        case 0x3c9: writeDAC(value)
        case 0x3ce: graphicsIndex = value & 15
        case 0x3cf:
            let index = Int(graphicsIndex & 15)
            graphics[index] = value & Self.graphicsMasks[index]
        case 0x3b4, 0x3d4: crtcIndex = value
        case 0x3b5, 0x3d5: writeCRTC(value)
        case 0x3ba, 0x3da: featureControl = value & 0x10
        default: break
        }
    }

    private mutating func writeCRTC(_ value: UInt8) {
        guard crtcIndex < 0x19 else { return }
        let index = Int(crtcIndex & 31)
        if crtc[0x11] & Self.protect != 0, index <= 7 {
            guard index == 7 else { return }
            crtc[7] = crtc[7] & ~Self.lineCompareBit | value & Self.lineCompareBit
            return
        }
        crtc[index] = value
    }

    private mutating func writeAttribute(_ value: UInt8) {
        defer { attributeExpectsData.toggle() }
        guard attributeExpectsData else {
            attributeIndex = value & 0x3f
            return
        }
        let index = Int(attributeIndex & 0x1f)
        switch index {
        // While the palette belongs to the screen it cannot be written.
        case 0...15: if attributeIndex & 0x20 == 0 { attribute[index] = value & 0x3f }
        case 0x10: attribute[index] = value & ~0x10
        case 0x11: attribute[index] = value
        case 0x12: attribute[index] = value & 0x3f
        case 0x13, 0x14: attribute[index] = value & 0x0f
        default: break
        }
    }

    private mutating func readDAC() -> UInt8 {
        let value = palette[Int(dacReadIndex) * 3 + Int(min(dacComponent, 2))]
        dacComponent += 1
        if dacComponent >= 3 {
            dacComponent = 0
            dacReadIndex &+= 1
        }
        return value
    }

    private mutating func writeDAC(_ value: UInt8) {
        dacPending[Int(min(dacComponent, 2))] = dispi.hasWideDAC ? value : value & 0x3f
        dacComponent += 1
        guard dacComponent >= 3 else { return }
        for component in 0..<3 { palette[Int(dacWriteIndex) * 3 + component] = dacPending[component] }
        dacComponent = 0
        dacWriteIndex &+= 1
    }
}
