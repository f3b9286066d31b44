import Linux

extension VMXDocument {
    /// Reads a `.vmx` file.
    ///
    /// - Parameter path: also the name in messages.
    public static func load(_ path: String) throws(ConfigurationError) -> VMXDocument {
        let bytes: [UInt8]
        do {
            // Not blocking: a named pipe in its place must not hold us up.
            let file = try Descriptor(opening: path, [.readOnly, .nonBlocking])
            guard try file.identity(path).kind == .regular else {
                throw ConfigurationError(Diagnostic(file: path, "is not a regular file"))
            }
            bytes = try file.contents(upTo: Limit.fileSize + 1, path)
        } catch let error as ConfigurationError {
            throw error
        } catch let error as SystemError {
            throw ConfigurationError(Diagnostic(file: path, "cannot be read: \(error.reason)"))
        } catch {
            throw ConfigurationError(Diagnostic(file: path, "cannot be read"))
        }
        return try VMXDocument(parsing: bytes, name: path)
    }

    /// Writes the file anew; after a crash at any moment the name leads to the old or the new text, never to a mixture.
    public func save(_ path: String) throws(ConfigurationError) {
        do {
            try Files.replace(path, with: bytes)
        } catch {
            throw ConfigurationError(Diagnostic(file: path, "cannot be written: \(error.reason)"))
        }
    }
}
