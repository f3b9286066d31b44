import CLinux

/// A program that could not be started.
public struct StartError: Error { public var number: CInt }

/// Starts a program with its output thrown away.
///
/// - Parameter descriptor: an open descriptor that the program gets as its number 3, kept open across its start.
public func start(_ path: String, _ arguments: [String], keeping descriptor: CInt? = nil) throws -> CInt {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    // The copy is not closed on exec, even if the number is the same.
    if let descriptor { posix_spawn_file_actions_adddup2(&actions, descriptor, 3) }
    let strings: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }
    var child: pid_t = 0
    let result = posix_spawn(&child, path, &actions, nil, strings, nil)
    if result != 0 { throw StartError(number: result) }
    return child
}

/// Runs a program to its end.
///
/// - Returns: its exit status; 128 and more for a signal.
public func run(_ path: String, _ arguments: [String]) throws -> CInt {
    let child = try start(path, arguments)
    var status: CInt = 0
    while waitpid(child, &status, 0) < 0 {}
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
}
