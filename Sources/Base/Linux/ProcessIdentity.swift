import CLinux

/// The user that this process acts as.
public func processUser() -> UInt32 { geteuid() }
