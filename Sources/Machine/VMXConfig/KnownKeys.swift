/// Keys of VMware's that Wafer knows and ignores on purpose: they describe the file itself, what VMware's own devices and
/// tools do, or hints that change nothing a guest can rely on. They cause no warning.
enum KnownKeys {
    static func isIgnored(_ key: String) -> Bool {
        let key = key.lowercased()
        if exact.contains(key) || prefixes.contains(where: { key.hasPrefix($0) }) { return true }
        guard let dot = key.firstIndex(of: ".") else { return false }
        let device = key[..<dot].prefix { !$0.isNumber }
        guard let endings = deviceEndings[String(device)] else { return false }
        let ending = String(key[key.index(after: dot)...])
        return endings.contains { $0.hasSuffix("*") ? ending.hasPrefix($0.dropLast()) : ending == $0 }
    }

    /// Whole keys.
    private static let exact: Set<String> = [
        "annotation", "cleanshutdown", "config.version", "ctkenabled", "evccompatibilitymode",
        "extendedconfigfile", "floppy0.present", "gui.exitatpoweroff", "gui.fullscreenatpoweron",
        "hard-disk.hostbuffer",
        "keyboardandmouseprofile", "mem.hotadd", "migrate.hostlog", "migrate.hostlogstate", "migrate.migrationid",
        "msg.autoanswer", "numa.autosize.cookie", "numa.autosize.vcpu.maxpervirtualnode",
        "chipset.onlinestandby",
        "replay.supported", "replay.filename", "rtc.difffromutc", "softpoweroff", "suspend.directory", "uuid.action",
        "vc.uuid", "vcpu.hotadd", "virtualhw.productcompatibility", "virtualhw.version", "vmotion.checkpointfbsize",
        "vmotion.checkpointsvgaprimarysize", "vmotion.svga.mobmaxsize", "vmotion.svga.graphicsmemorykb",
        "vmxstats.filename", "workingdir", "wwn.enabled", "wwn.node", "wwn.port", "wwn.type",
    ]

    /// Beginnings of keys.
    private static let prefixes: [String] = [
        "answer.msg.", "bios.", "cpuid.", "disk.", "featmask.", "hpet0.", "isolation.", "log.", "logging",
        "mks.", "monitor.", "monitor_control.", "msg.", "pcibridge", "policy.", "powertype.", "priority.", "proxyapps.",
        "remotedisplay.", "sched.", "sharedfolder", "snapshot.", "svga.", "tools.", "toolscripts.", "unity.",
        "usb.", "usb:", "usb_xhci.", "usb_xhci:", "ehci.", "ehci:", "vmci", "vmotion.", "vprobe.", "mainmem.",
        "memtrimrate", "time.", "gui.", "hgfs.", "roamingvm.", "acpi.",
        "hypervisor.", "vmx.", "virtualhw.", "numa.", "uefi.", "fixed.", "vvtd.", "viv.", "vpmc.", "cloudkey",
        "managedvm.",
    ]

    /// Endings of a device's keys, by kind of device; a star stands for any rest.
    private static let deviceEndings: [String: Set<String>] = [
        "scsi": [
            "pcislotnumber", "sasid", "saswwid", "redo", "ctkenabled", "sharing", "shares", "throughputcap",
            "iofilters", "virtualssd", "startconnected",
        ],
        "sata": ["*"],
        "nvme": ["*"],
        "ide": ["*"],
        "ethernet": [
            "pcislotnumber", "wakeonpcktrcv", "uptcompatibility", "linkstatepropagation.enable", "features", "vnet",
            "displayname", "checkmacaddress", "nopromisc", "noforgedsrcaddr", "opaquenetwork.*", "dvs.*", "filter*",
            "shares", "limit", "reservation", "externalid", "allowguestconnectioncontrol", "bsdname", "ctxperdev",
            "pnicfeatures", "bootorder",
        ],
        "serial": ["yieldonmsrread", "hardwareflowcontrol", "autodetect", "allowguestconnectioncontrol"],
    ]
}
