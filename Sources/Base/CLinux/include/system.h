// libc and general kernel interfaces.
#ifndef WAFER_CLINUX_SYSTEM_H
#define WAFER_CLINUX_SYSTEM_H

// No _GNU_SOURCE here: it changes structures that Swift's own Glibc module declares without it, and the two would
// disagree. What needs it lives in gnu.c.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// Variadic in libc, so invisible to Swift.
static inline int wafer_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int wafer_openat(int dir, const char *path, int flags, mode_t mode) {
    return openat(dir, path, flags, mode);
}
static inline int wafer_ioctl(int fd, unsigned long request, unsigned long argument) {
    return ioctl(fd, request, argument);
}
static inline int wafer_ioctl_pointer(int fd, unsigned long request, void *argument) {
    return ioctl(fd, request, argument);
}
static inline int wafer_fcntl(int fd, int command, long argument) { return fcntl(fd, command, argument); }

// No libc wrapper, or one hidden behind feature macros Swift does not see.
static inline int wafer_gettid(void) { return (int)syscall(SYS_gettid); }
static inline int wafer_tgkill(int group, int thread, int signal) {
    return (int)syscall(SYS_tgkill, group, thread, signal);
}
// pidfd_open(2), pidfd_send_signal(2): since Linux 5.3; glibc has wrappers only since 2.36.
static inline int wafer_pidfd_open(int process) { return (int)syscall(SYS_pidfd_open, process, 0); }
static inline int wafer_pidfd_send_signal(int fd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}
int wafer_memfd_create(const char *name, unsigned int flags);
static inline int wafer_finit_module(int fd, const char *parameters) {
    return (int)syscall(SYS_finit_module, fd, parameters, 0);
}
int wafer_set_thread_name(const char *name);
int wafer_unshare(int flags);
int wafer_setns(int fd, int kind);
int wafer_accept4(int fd);
// SO_PEERCRED of a connected Unix socket; leaves all as it is if it fails.
int wafer_peer_credentials(int fd, int *process, unsigned *user, unsigned *group);
int wafer_fallocate(int fd, int mode, off_t offset, off_t count);
static inline int wafer_sigrtmin(void) { return SIGRTMIN; }

// epoll_event holds a union with pointers; the key is the only member we use.
static inline int wafer_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t key) {
    struct epoll_event event = {.events = events, .data.u64 = key};
    return epoll_ctl(epoll, operation, fd, &event);
}
struct wafer_epoll_event {
    uint32_t events;
    uint64_t key;
} __attribute__((packed));
static inline int wafer_epoll_wait(int epoll, struct wafer_epoll_event *events, int count, int timeout) {
    _Static_assert(sizeof(struct wafer_epoll_event) == sizeof(struct epoll_event), "epoll_event");
    return epoll_wait(epoll, (struct epoll_event *)events, count, timeout);
}

// Tells the processor that a loop only waits: the other thread of the core runs faster, and a hypervisor below may notice.
static inline void wafer_cpu_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Handlers are C functions, so that no Swift runs in signal context.
int wafer_install_wakeup_handler(int signal);
int wafer_ignore_signal(int signal);

// Macros with casts or calls.
static inline int wafer_errno(void) { return errno; }
static inline void *wafer_map_failed(void) { return MAP_FAILED; }
static inline const struct sockaddr *wafer_sockaddr_un(const struct sockaddr_un *address) {
    return (const struct sockaddr *)address;
}
enum : unsigned int {
    WAFER_MFD_CLOEXEC = MFD_CLOEXEC,
    WAFER_MFD_ALLOW_SEALING = MFD_ALLOW_SEALING,
    WAFER_MFD_HUGETLB = MFD_HUGETLB,
    WAFER_EPOLLIN = EPOLLIN,
    WAFER_EPOLLOUT = EPOLLOUT,
    WAFER_EPOLLERR = EPOLLERR,
    WAFER_EPOLLHUP = EPOLLHUP,
    WAFER_EPOLLRDHUP = EPOLLRDHUP,
    WAFER_EPOLLET = EPOLLET,
};
enum : int {
    WAFER_CLONE_NEWNS = 0x00020000,   // CLONE_NEWNS
    WAFER_CLONE_NEWNET = 0x40000000,  // CLONE_NEWNET
    WAFER_MADV_DONTNEED = 4,  // MADV_DONTNEED
    WAFER_MADV_DONTDUMP = 16,  // MADV_DONTDUMP
    WAFER_MADV_HUGEPAGE = 14,  // MADV_HUGEPAGE
    WAFER_MADV_NOHUGEPAGE = 15,  // MADV_NOHUGEPAGE
};
enum : unsigned long {
    WAFER_BLKGETSIZE64 = BLKGETSIZE64,
    WAFER_BLKSSZGET = BLKSSZGET,
    WAFER_BLKDISCARD = BLKDISCARD,
    WAFER_BLKZEROOUT = BLKZEROOUT,
    WAFER_TIOCSCTTY = TIOCSCTTY,
    WAFER_TIOCGWINSZ = TIOCGWINSZ,
};

#endif
