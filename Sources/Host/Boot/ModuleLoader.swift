import Linux

/// Loads kernel modules with what they need, each once.
final class ModuleLoader {
    private let directory: String
    private let index: ModuleIndex
    private let console: Console
    /// Tried already, with whatever result; a second try would end the same way.
    private var tried: Set<String> = []
    private(set) var loaded = 0

    /// Reads the indexes of the running kernel's module directory. Without one nothing can be loaded.
    init(console: Console) {
        self.console = console
        let directory = "/lib/modules/\(Kernel.release)"
        self.directory = directory
        func file(_ name: String) -> [UInt8] { (try? readFile("\(directory)/\(name)")) ?? [] }
        index = ModuleIndex(
            dependencies: file("modules.dep"), aliases: file("modules.alias"), builtIn: file("modules.builtin"))
        if index.count == 0 { console.warn("no kernel modules in \(directory); only built-in drivers work") }
    }

    /// Loads what drives a device with this alias, if there is anything.
    func load(alias: String) {
        for module in index.modules(matching: alias) { load(module) }
    }

    /// Loads what an alias or a module's name stands for.
    ///
    /// - Returns: whether anything of it is there now.
    func loadAny(_ alias: String) -> Bool {
        var found = false
        for module in index.modules(matching: alias) where load(module) { found = true }
        return found
    }

    /// Loads a module by name.
    ///
    /// - Returns: whether it is there now.
    @discardableResult
    func load(_ module: String, parameters: String = "") -> Bool {
        guard let order = index.loadOrder(module) else {
            console.warn("there is no kernel module \(module)")
            return false
        }
        for (name, path) in order {
            guard tried.insert(name).inserted else { continue }
            do {
                try Kernel.loadModule("\(directory)/\(path)", parameters: name == order.last?.name ? parameters : "")
                loaded += 1
            } catch {
                // EEXIST: the kernel had it. ENODEV: it looked and found nothing to drive, which is no fault.
                if error.isExisting { continue }
                if !error.isNoDevice { console.warn("\(error)") }
                return false
            }
        }
        return true
    }
}
