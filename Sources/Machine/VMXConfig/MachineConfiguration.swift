public import Addresses

/// A virtual machine as its `.vmx` file describes it: checked, complete, independent of the file.
///
/// Paths are as the file gives them, made relative to the file's directory unless absolute. What the file asks for and
/// Wafer does not have yet is an error where the guest would miss it (a disk, a network card) and a warning where a machine
/// runs well without (a floppy drive). `docs/formats/vmx.md` lists every key.
public struct MachineConfiguration: Equatable, Sendable {
    /// The file, as the caller named it.
    public var file: String
    /// `displayName`; without it the file's name without `.vmx`.
    public var displayName: String
    /// `guestOS`, VMware's identifier such as `debian12-64`; empty if not given.
    public var guestOS: String
    /// `uuid.bios`: what the guest sees as the machine's UUID.
    public var uuid: MachineUUID
    /// `uuid.location`: changes when the machine is copied.
    public var locationUUID: MachineUUID
    public var firmware: Firmware
    /// `nvram`: where UEFI's variables are kept; next to the file and under its name if not given.
    public var nvramFile: String
    /// `bios.bootDelay`, 0 to 10000: how long firmware offers its boot menu, in milliseconds.
    public var bootDelay: Int
    /// `wafer.firmwareLog`: firmware's own messages go to the machine's log. For faults; it slows the start.
    public var logsFirmware: Bool
    /// `memsize`, in MiB: a multiple of 4, from 4 to 6 TiB.
    public var memoryMegabytes: Int
    /// `numvcpus`, 1 to 64.
    public var processorCount: Int
    /// `cpuid.coresPerSocket`; divides `processorCount`.
    public var coresPerSocket: Int
    /// `wafer.cpuModel`.
    public var processorModel: ProcessorModel
    /// `vhv.enable`: whether the guest may run virtual machines itself.
    public var nestedVirtualization: Bool
    /// `wafer.hypervisor`: which hypervisor the guest takes this for; Hyper-V by default where `guestOS` is a Windows.
    public var hypervisor: Hypervisor
    /// `hypervisor.cpuid.v0`: whether the guest's processors say that they are virtual.
    public var hypervisorVisible: Bool
    /// `guestinfo.…`: what tools in the guest can read, by names without that, in small letters.
    public var guestVariables: [String: String]
    /// `tools.syncTime`: tools in the guest set its clock by the host's.
    public var toolsSynchronizeTime: Bool
    /// `wafer.hugePages`: the page size that backs guest memory.
    public var hugePages: HugePages
    /// `wafer.kernel` and its companions; nil if the machine boots from firmware.
    public var directBoot: DirectBoot?
    /// `wafer.iothreads`: how many threads serve the disks, 1 to 16.
    public var ioThreadCount: Int
    /// `wafer.diskError`: what happens when a disk request fails in the host.
    public var diskErrorPolicy: DiskErrorPolicy
    /// Present disks, in the order scsi, sata, nvme, ide and by number.
    public var disks: [Disk]
    /// Present network cards, by number.
    public var networkCards: [NetworkCard]
    /// `svga.present`: whether there is a screen; by default where firmware starts the machine.
    public var hasScreen: Bool
    /// `svga.vramSize`: bytes of video memory, 16 MiB to 64 MiB, a power of two.
    public var videoMemory: Int
    /// `RemoteDisplay.vnc.…`; nil if nobody may look at the screen over the network.
    public var remoteDisplay: RemoteDisplay?
    /// `wafer.vnc.socket`: a Unix socket on which the screen is served; nil for none.
    public var displaySocket: String?
    /// A USB controller with a tablet and a keyboard: where there is a screen, unless `usb_xhci.present`, `usb.present` or `ehci.present` say
    /// that there is none.
    public var hasUSB: Bool
    /// Present serial ports, by number.
    public var serialPorts: [SerialPort]
    /// `wafer.console.…`: the virtio console's back end; nil if it has none.
    public var console: CharacterBackend?
    /// `wafer.rng`: whether the guest has a random number device.
    public var hasRandomDevice: Bool
    /// `wafer.balloon`: whether the guest has a balloon.
    public var hasBalloon: Bool
    /// `wafer.balloon.freePageReporting`.
    public var reportsFreePages: Bool
    /// `wafer.vsock.…`; nil if there is no vsock device.
    public var vsock: Vsock?
    /// `wafer.control`: where the control socket is made; nil leaves the choice to the monitor.
    public var controlSocket: String?
    /// `checkpoint.vmState`: the file with the state of the machine, which was suspended; nil if it was not.
    public var savedState: String?
    /// Keys that should be written to the file so that the machine keeps its identity: it had none of these yet.
    public var newIdentity: [IdentityKey]
    /// What was odd but usable, in file order.
    public var warnings: [Diagnostic]

    /// `memsize` in bytes.
    public var memoryBytes: UInt64 { UInt64(memoryMegabytes) << 20 }

    public struct IdentityKey: Equatable, Sendable {
        public var key: String
        public var value: String
    }

    public enum Firmware: String, Equatable, Sendable, CaseIterable {
        case bios, efi
    }

    public enum ProcessorModel: Equatable, Sendable {
        /// Everything the host's processor and KVM offer.
        case host
        /// A named baseline; the monitor knows which there are.
        case named(String)
    }

    public enum Hypervisor: String, Equatable, Sendable, CaseIterable {
        case kvm, vmware, hyperv
    }

    public enum HugePages: Equatable, Sendable {
        /// Ordinary pages; the kernel may merge them on its own.
        case none
        /// 2 MiB pages from the host's pool.
        case twoMegabytes
        /// 1 GiB pages from the host's pool.
        case oneGigabyte
    }

    /// The screen over the network (VNC).
    public struct RemoteDisplay: Equatable, Sendable {
        /// `RemoteDisplay.vnc.ip`: the host's address to listen at; all of them without it.
        public var address: IPv4Address?
        /// `RemoteDisplay.vnc.port`, 1 to 65535; VMware's default is 5900.
        public var port: UInt16
        /// `RemoteDisplay.vnc.password`, of which 8 bytes count. Nil: none is asked for.
        public var password: String?
    }

    /// A kernel started without firmware.
    public struct DirectBoot: Equatable, Sendable {
        /// `wafer.kernel`: a bzImage or an ELF file with a PVH entry.
        public var kernel: String
        /// `wafer.initrd`.
        public var initrd: String?
        /// `wafer.commandLine`.
        public var commandLine: String
    }

    public enum DiskErrorPolicy: String, Equatable, Sendable, CaseIterable {
        /// The guest sees an I/O error.
        case report
        /// The machine pauses until somebody answers.
        case pause
        /// It pauses when the host's disk is full, and reports other errors.
        case pauseWhenFull
    }

    public struct Vsock: Equatable, Sendable {
        /// `wafer.vsock.cid`: the guest's address, 3 to 2^32 - 2.
        public var cid: UInt32
        /// `wafer.vsock.socket`: path of the Unix socket for the user-space back end; nil for the kernel's vhost-vsock.
        public var socket: String?
    }
}
