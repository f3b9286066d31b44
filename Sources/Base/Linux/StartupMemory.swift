import CLinux

/// Gives back to the host what only a process's start needed: free heap, and its code's pages, which the kernel maps in
/// whole clusters. Code that runs again comes back from the file, at a minor fault a cluster.
public func releaseStartupMemory() { wafer_release_startup_memory() }
