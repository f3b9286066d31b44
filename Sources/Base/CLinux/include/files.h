// Open-file-description locks, which libc hides behind _GNU_SOURCE. They belong to the open file, not the process, so
// the kernel drops them with its last descriptor however the process ends. A length of 0 reaches to the end of all
// offsets.
#ifndef WAFER_CLINUX_FILES_H
#define WAFER_CLINUX_FILES_H

#include <spawn.h>
#include <stdint.h>

// Sets or, with F_UNLCK, drops a lock without waiting.
int wafer_ofd_lock(int fd, int type, int64_t start, int64_t length);
// Whether a lock of this type could be set now: 1 yes, 0 no, -1 error.
int wafer_ofd_test(int fd, int type, int64_t start, int64_t length);

#endif
