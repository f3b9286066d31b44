// statx(2). Its structure is in linux/stat.h; glibc shows its own only with _GNU_SOURCE.
#ifndef WAFER_CLINUX_STATX_H
#define WAFER_CLINUX_STATX_H

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// STATX_DIOALIGN is the newest field we use (Linux 6.1).
static inline int wafer_statx(int fd, struct statx *result) {
    return (int)syscall(SYS_statx, fd, "", 0x1000 /* AT_EMPTY_PATH */, STATX_BASIC_STATS | STATX_DIOALIGN, result);
}

#endif
