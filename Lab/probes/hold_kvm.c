// Keeps a virtual machine with one processor that never runs, as long as the host is up.
//
// KVM has branches that it patches in and out of the kernel's text when the first machine comes and the last one goes
// (preemption notifiers), and when the last local APIC is switched on (Linux 6.1, arch/x86/kvm/lapic.c, apic_sw_disabled).
// An emulator of the kind that the lab runs in, several threads and older than QEMU 8.1, may translate the breakpoint that stands
// there during patching and keep it for ever: that processor is lost. With this machine about, KVM has nothing to patch.

#include "bare.h"
#include <linux/kvm.h>

START
{
    // The module may still be on its way.
    long kvm = -1;
    for (int tries = 0; tries < 600 && kvm < 0; tries++) {
        kvm = call(__NR_open, (long)"/dev/kvm", 2 /* O_RDWR */, 0);
        if (kvm < 0)
            sleep_milliseconds(50);
    }
    if (kvm < 0)
        leave(1);
    long machine = call(__NR_ioctl, kvm, KVM_CREATE_VM, 0);
    if (machine < 0 || call(__NR_ioctl, machine, KVM_CREATE_IRQCHIP, 0) < 0 || call(__NR_ioctl, machine, KVM_CREATE_VCPU, 0) < 0)
        leave(2);
    for (;;)
        call(__NR_pause, 0, 0, 0);
}
