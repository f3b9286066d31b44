// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours is built with the same strictness: Swift 6 mode and no warnings.
let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]
/// Product code marks every unsafe use; tests own both sides of what they touch.
let strict = common + [.strictMemorySafety()]

func target(_ group: String, _ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(group)/\(name)", swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.target(name: name)] + dependencies, path: "Tests/\(name)Tests",
        swiftSettings: common)
}

/// The runtime is linked into the benchmark, so that its own calls are counted, too; each function below is wrapped by
/// `Benchmarks/Counters`. Names are exported for the traces.
let countedLinking =
    ["-static-stdlib", "-Xlinker", "--export-dynamic"]
    + [
        "swift_retain", "swift_retain_n", "swift_tryRetain", "swift_weakLoadStrong", "swift_weakTakeStrong",
        "swift_unownedRetainStrong", "swift_release", "swift_release_n",
    ].flatMap { ["-Xlinker", "--wrap=\($0)"] }

let package = Package(
    name: "Wafer",
    products: [
        .executable(name: "wafer", targets: ["wafer"]),
        .executable(name: "wafer-image", targets: ["wafer-image"]),
    ],
    targets: [
        // Base: knows nothing of ours.
        .target(name: "CLinux", path: "Sources/Base/CLinux"),
        target("Base", "Bytes"),
        target("Base", "Addresses"),
        target("Base", "Linux", ["CLinux", "Addresses"]),
        target("Base", "Messages", ["Bytes", "Linux"]),
        target("Base", "SavedState", ["Bytes", "CLinux", "Linux"]),
        .systemLibrary(name: "CSodium", path: "Sources/Base/CSodium", providers: [.apt(["libsodium-dev"])]),
        target("Base", "Signatures", ["CSodium"]),
        .systemLibrary(name: "CMbedTLS", path: "Sources/Base/CMbedTLS", providers: [.apt(["libmbedtls-dev"])]),
        .systemLibrary(name: "CZlib", path: "Sources/Base/CZlib", providers: [.apt(["zlib1g-dev"])]),
        target("Base", "TLS", ["Addresses", "CMbedTLS"]),
        target("Base", "Log", ["Linux"]),

        // Machine: one virtual machine and what it is made of.
        target("Machine", "GuestMemory", ["Linux"]),
        target("Machine", "DeviceModel", ["Bytes", "GuestMemory", "Linux", "SavedState"]),
        target("Machine", "Chipset", ["Bytes", "DeviceModel", "GuestMemory", "Linux", "SavedState"]),
        target("Machine", "Display", ["Addresses", "CMbedTLS", "CZlib", "DeviceModel", "Linux"]),
        target("Machine", "GuestTools", ["Linux"]),
        target("Machine", "KVM", ["CLinux", "Linux", "Bytes", "SavedState"]),
        target("Machine", "Input", ["DeviceModel", "GuestMemory", "Linux"]),
        target("Machine", "BlockEngine", ["DeviceModel", "Linux"]),
        target("Machine", "NetEngine", ["Linux", "SavedState"]),
        target("Machine", "Controllers", ["DeviceModel", "GuestMemory", "Linux", "Virtio"]),
        target("Machine", "ACPI", ["Bytes"]),
        target("Machine", "SMBIOS", ["Bytes"]),
        target("Machine", "GuestBoot", ["Bytes", "GuestMemory", "Linux"]),
        target("Machine", "VMXConfig", ["Addresses", "Bytes", "Linux"]),
        target("Machine", "VMXControl", ["Messages", "Linux"]),
        target(
            "Machine", "VMX",
            [
                "Adapters", "Addresses", "Bytes", "Controllers", "Linux", "Messages", "KVM", "GuestMemory",
                "GuestTools", "DeviceModel",
                "Chipset", "ACPI", "Display", "Input",
                "GuestBoot", "SMBIOS", "BlockEngine", "NetEngine", "VMXConfig", "VMXControl", "Virtio", "VMDK",
                "HostLink", "NetworkService", "SavedState",
            ]),
        target("Machine", "Virtio", ["Bytes", "DeviceModel", "GuestMemory", "Linux", "NetEngine", "SavedState"]),
        target("Machine", "Adapters", ["DeviceModel", "GuestMemory", "Linux", "NetEngine"]),

        // Storage: disks, file systems, datastores.
        target("Storage", "VMDK", ["Bytes", "Linux"]),
        target("Storage", "BlockStore", ["Linux"]),
        target("Storage", "FAT", ["BlockStore", "Bytes", "Linux"]),

        // Host: what a host is, its agents, and how they talk.
        target("Host", "HostModel", ["Addresses"]),
        target("Host", "HostLink", ["Linux", "Messages"]),
        target("Host", "StateArea", ["BlockStore", "Bytes", "Linux", "Signatures"]),
        target("Host", "HostService", ["HostLink", "HostModel", "Linux", "Messages"]),
        target(
            "Host", "HostDaemon",
            [
                "AgentLink", "HostLink", "HostModel", "HostService", "Linux", "Log", "Messages", "Signatures",
                "VMXConfig", "VMXControl",
            ]),
        target("Host", "Terminal"),
        .systemLibrary(name: "CNcurses", path: "Sources/Host/CNcurses", providers: [.apt(["libncurses-dev"])]),
        target("Host", "Curses", ["CNcurses", "Linux", "Terminal"]),
        target(
            "Host", "DCUI",
            [
                "Addresses", "ConfigService", "Curses", "HostLink", "HostModel", "HostService", "Linux", "Log",
                "LogService",
                "NetworkService", "Terminal",
            ]),
        // The medium that a host boots from: what is on it, and how it is built.
        target("Host", "BootMedium", ["Bytes", "Signatures"]),
        target(
            "Host", "SystemImage",
            ["BlockStore", "BootBanks", "BootMedium", "Bytes", "FAT", "Linux", "Signatures", "StateArea"]),

        target("Host", "LogService", ["HostLink", "Messages"]),
        // What agents know from other agents: the settings, addresses of names.
        target(
            "Host", "AgentLink", ["ConfigService", "HostLink", "HostModel", "Linux", "Messages", "NetworkService"]),
        target(
            "Host", "Logging",
            [
                "AgentLink", "Addresses", "Bytes", "HostLink", "HostModel", "Linux", "Log", "LogService", "Messages",
                "TLS",
            ]),
        target("Host", "TimeSync", ["AgentLink", "Bytes", "HostLink", "HostModel", "Linux", "Log"]),
        target("Host", "Boot", ["Addresses", "Bytes", "ConfigService", "HostLink", "Linux", "Log", "Messages"]),

        // Network: virtual switches, addresses, names.
        target("Network", "DNSMessages", ["Addresses", "Bytes"]),
        target("Network", "DHCP", ["Addresses", "Bytes", "DNSMessages"]),
        target("Network", "Resolver", ["Addresses", "DNSMessages", "Linux"]),
        target("Network", "NetworkService", ["Addresses", "HostLink", "Messages"]),
        target("Network", "VSwitch", ["Addresses", "HostModel", "Linux"]),
        target(
            "Network", "NetworkAgent",
            [
                "Addresses", "AgentLink", "DHCP", "DNSMessages", "HostLink", "HostModel", "Linux", "Log", "Messages",
                "NetworkService", "Resolver", "VSwitch",
            ]),

        target("Host", "ConfigService", ["HostLink", "Messages"]),
        target(
            "Host", "ConfigAgent",
            [
                "BlockStore", "BootBanks", "BootMedium", "ConfigService", "HostLink", "HostModel", "Linux",
                "Signatures",
                "StateArea",
            ]),
        target("Host", "BootBanks", ["BlockStore", "BootMedium", "FAT", "Linux", "Signatures"]),
        // Products: pick the process by name, nothing more.
        .executableTarget(
            name: "wafer",
            dependencies: [
                "Boot", "ConfigAgent", "DCUI", "HostDaemon", "HostService", "Linux", "Logging", "NetworkAgent",
                "TimeSync", "VMX", "VMXControl",
            ], path: "Sources/Products/wafer", swiftSettings: strict),
        .executableTarget(
            name: "wafer-image", dependencies: ["Linux", "SystemImage"], path: "Sources/Products/wafer-image",
            swiftSettings: strict),
    ]
)

package.targets += [
    tests(
        "ConfigAgent",
        [
            "BootBanks", "ConfigService", "HostLink", "HostModel", "Linux", "Messages", "SimulatedDisk",
            "StateArea", "TestFiles", "wafer",
        ]),
    tests(
        "BootBanks",
        ["BlockStore", "BootMedium", "FAT", "Linux", "Signatures", "SimulatedDisk", "TestFiles"]),
    tests("ACPI"),
    tests("SMBIOS", ["Bytes"]),
    tests("GuestBoot", ["Bytes", "GuestMemory"]),
    tests("Bytes"),
    tests("Addresses"),
    tests("HostModel", ["Addresses"]),
    tests("HostLink", ["Linux", "Messages"]),
    tests("HostService", ["HostLink", "HostModel", "Messages"]),
    tests(
        "HostDaemon",
        [
            "ConfigService", "HostLink", "HostModel", "HostService", "Linux", "Messages", "Signatures",
            "StandInMachine", "TestFiles",
        ]),
    .executableTarget(
        name: "StandInMachine", dependencies: ["Linux", "Messages", "VMXConfig", "VMXControl"],
        path: "Tests/Support/StandInMachine", swiftSettings: common),
    tests("Terminal"),
    .testTarget(
        name: "DCUITests",
        dependencies: [
            "Addresses", "CLinux", "DCUI", "HostLink", "HostModel", "HostService", "NetworkService", "Terminal",
        ],
        path: "Tests/DCUITests", exclude: ["Golden"], swiftSettings: common),
    tests("Messages", ["Linux"]),
    tests("SavedState", ["Linux", "TestFiles"]),
    tests("Signatures"),
    tests("TLS", ["CMbedTLS", "Linux", "Signatures", "TLSTestServer", "TestCertificates", "TestFiles"]),
    .target(
        name: "TLSTestServer", dependencies: ["CMbedTLS", "TLS"], path: "Tests/Support/TLSTestServer",
        swiftSettings: common),
    .target(
        name: "TestCertificates", dependencies: ["Linux", "TestFiles"], path: "Tests/Support/TestCertificates",
        swiftSettings: common),
    tests(
        "AgentLink",
        ["ConfigService", "HostLink", "HostModel", "Linux", "Messages", "NetworkService", "TestFiles"]),
    tests("Log", ["Linux", "TestFiles"]),
    tests("TimeSync", ["Addresses", "CLinux", "Linux", "Log", "TestFiles", "TestNetwork"]),
    tests(
        "Logging",
        [
            "Addresses", "CLinux", "HostLink", "HostModel", "Linux", "Log", "LogService", "TLS", "TestCertificates",
            "TestFiles", "TestNetwork",
        ]),
    // What several test suites share.
    .target(
        name: "TestNetwork", dependencies: ["Linux"], path: "Tests/Support/TestNetwork", swiftSettings: common),
    tests("Linux", ["Addresses", "TestNetwork", "CLinux"]),
    .target(
        name: "TestFiles", dependencies: ["CLinux"], path: "Tests/Support/TestFiles", swiftSettings: common),
    .target(
        name: "BlockTestSupport", dependencies: ["DeviceModel", "Linux"], path: "Tests/Support/BlockTestSupport",
        swiftSettings: common),
    .target(
        name: "SimulatedDisk", dependencies: ["BlockStore", "Bytes", "Linux"], path: "Tests/Support/SimulatedDisk",
        swiftSettings: common),
    .target(
        name: "StateFixtures", dependencies: ["Linux", "SavedState"], path: "Tests/Support/StateFixtures",
        exclude: ["Kept"], swiftSettings: common),
    tests("BlockStore", ["Linux", "TestFiles"]),
    tests("StateArea", ["Signatures", "SimulatedDisk"]),
    tests("BlockEngine", ["BlockTestSupport", "Bytes", "CLinux", "DeviceModel", "Linux", "TestFiles"]),
    tests("GuestMemory"),
    tests("GuestTools"),
    tests("DeviceModel"),
    tests("NetEngine", ["Linux", "TestNetwork"]),
    tests("Chipset", ["DeviceModel", "GuestMemory", "Linux", "SavedState", "StateFixtures"]),
    tests("Display", ["Addresses", "CZlib", "DeviceModel", "Linux", "TestFiles"]),
    tests("Input", ["DeviceModel", "GuestMemory", "Linux", "VirtioTestSupport"]),
    tests("VMX", ["Chipset", "DeviceModel", "GuestMemory", "KVM", "Linux", "SavedState", "TestFiles", "VMXControl"]),
    tests("VMXControl", ["Messages"]),
    tests("KVM", ["CLinux", "Linux", "Bytes"]),
    .target(
        name: "VirtioTestSupport", dependencies: ["DeviceModel", "GuestMemory", "Linux", "Virtio"],
        path: "Tests/Support/VirtioTestSupport", swiftSettings: common),
    .target(
        name: "NetTestSupport", dependencies: ["Linux", "NetEngine"], path: "Tests/Support/NetTestSupport",
        swiftSettings: common),
    tests(
        "Virtio",
        [
            "BlockTestSupport", "Bytes", "CLinux", "DeviceModel", "GuestMemory", "Linux", "NetEngine",
            "NetTestSupport", "SavedState", "StateFixtures", "TestNetwork", "VirtioTestSupport",
        ]),
    tests(
        "Controllers",
        [
            "BlockEngine", "BlockTestSupport", "Bytes", "CLinux", "DeviceModel", "GuestMemory", "Linux", "TestFiles",
            "Virtio", "VirtioTestSupport",
        ]),
    tests(
        "Adapters",
        ["DeviceModel", "GuestMemory", "Linux", "NetEngine", "NetTestSupport", "TestNetwork", "VirtioTestSupport"]),
    tests("BootMedium", ["Linux", "Signatures", "TestFiles"]),
    tests("FAT", ["Linux", "SimulatedDisk", "TestFiles"]),
    tests("SystemImage", ["BootMedium", "Linux", "Signatures", "TestFiles"]),
    tests("VMDK", ["CLinux", "Linux", "TestFiles"]),
    tests("VMXConfig", ["Bytes", "CLinux", "Linux", "TestFiles"]),

    // Counts allocations and reference counting on hot paths; `make hotpaths` runs it in release mode.
    .target(name: "Counters", path: "Benchmarks/Counters"),
    .executableTarget(
        name: "hotpaths",
        dependencies: [
            "BlockEngine", "Chipset", "Counters", "DeviceModel", "GuestMemory", "KVM", "Linux", "NetEngine",
            "Virtio", "VirtioTestSupport", "VMX",
        ],
        path: "Benchmarks/HotPaths", swiftSettings: common,
        linkerSettings: [.unsafeFlags(countedLinking)]),

    // Fuzzing: every target is also replayed over its corpus by the tests. See Fuzz/README.md.
    .target(
        name: "FuzzTargets",
        dependencies: [
            "Adapters", "Addresses", "BlockTestSupport", "BootMedium", "CLinux", "Chipset", "Controllers",
            "DeviceModel",
            "DHCP", "Display", "DNSMessages", "FAT", "GuestBoot", "GuestMemory", "GuestTools", "HostModel",
            "HostService", "Input",
            "Linux", "Log", "Logging", "Messages", "NetEngine", "SavedState", "SimulatedDisk", "StateArea", "Terminal",
            "TimeSync",
            "TLS", "TLSTestServer", "Virtio", "VirtioTestSupport", "VMDK", "VMXConfig",
        ], path: "Fuzz/Targets", swiftSettings: common),
    .testTarget(
        name: "FuzzCorpusTests", dependencies: ["CLinux", "FuzzTargets"], path: "Tests/FuzzCorpusTests",
        swiftSettings: common),
    tests("DNSMessages", ["Addresses"]),
    tests("DHCP", ["Addresses", "Bytes"]),
    tests("Resolver", ["Addresses", "DNSMessages", "Linux"]),
    tests("NetworkService", ["Addresses", "Messages"]),
    tests("VSwitch", ["Addresses", "HostModel", "Linux", "TestNetwork"]),
    tests(
        "NetworkAgent",
        [
            "Addresses", "CLinux", "DHCP", "DNSMessages", "HostLink", "HostModel", "Linux", "NetworkService",
            "Resolver", "TestFiles", "TestNetwork", "VSwitch",
        ]),
    tests("Boot", ["Addresses", "Linux", "TestFiles"]),
]

// The program around libFuzzer links only with the compiler's fuzzer option, which Fuzz/run gives.
if Context.environment["WAFER_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "wafer-fuzz", dependencies: ["FuzzTargets"], path: "Fuzz/Driver", swiftSettings: common))
}
