import DeviceModel
import Linux
import VMXConfig

/// The outside end of a serial port or console, made from its configuration.
struct OpenedCharacterBackend {
    let backend: any CharacterBackend
    /// For people: " on socket …".
    let summary: String
    let release: () -> Void

    /// Nil if this kind of back end is not supported yet.
    init?(_ configuration: MachineConfiguration.CharacterBackend, loop: EventLoop) throws(SystemError) {
        switch configuration {
        case .pipe(let path, .server):
            let console = try ConsoleSocket(path: path, loop: loop)
            backend = console
            summary = " on socket \(path)"
            release = { console.close() }
        case .file(let path):
            backend = try CharacterFile(path)
            summary = " to file \(path)"
            release = {}
        default: return nil
        }
    }
}
