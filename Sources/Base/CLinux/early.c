// Runs before the Swift runtime. As PID 1 nothing has mounted /proc yet, and the runtime looks its own path up through
// /proc/self/exe before main: without this it aborts and the kernel panics.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((constructor(101))) static void wafer_mount_proc_for_init(void) {
    if (getpid() != 1) return;
    mkdir("/proc", 0555);
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
}
