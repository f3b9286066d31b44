public import Linux

/// Makes the kernel's links as planned.
public enum LinkExecutor {
    /// Looks at what is there, does what is missing, and looks again until nothing is.
    ///
    /// - Returns: what could not be done, each a sentence for the administrator.
    public static func apply(
        _ desired: [DesiredLink], _ network: inout NetworkConfiguration,
        _ trace: (LinkOperation) -> Void = { _ in }
    ) throws(SystemError) -> [String] {
        var problems: [String] = []
        // One step may change what another one set: a bond gives its ports its address, a bridge its ports' MTU to itself.
        for _ in 0..<roundsMax {
            let operations = LinkDifference(from: try ActualNetwork(&network), to: desired).operations
            if operations.isEmpty { return problems }
            problems = []
            for operation in operations {
                trace(operation)
                do { try operation.perform(&network) } catch { problems.append("\(error)") }
            }
            if !problems.isEmpty { return problems }
        }
        return problems
    }

    private static let roundsMax = 3
}
