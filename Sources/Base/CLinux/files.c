#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

int wafer_ofd_lock(int fd, int type, int64_t start, int64_t length) {
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &lock);
}

int wafer_ofd_test(int fd, int type, int64_t start, int64_t length) {
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    int result = fcntl(fd, F_OFD_GETLK, &lock);
    return result < 0 ? result : lock.l_type == F_UNLCK;
}
