// Interfaces that libc shows only with _GNU_SOURCE.
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

int wafer_memfd_create(const char *name, unsigned int flags) { return memfd_create(name, flags); }

int wafer_set_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }

int wafer_fallocate(int fd, int mode, off_t offset, off_t count) { return fallocate(fd, mode, offset, count); }

int wafer_unshare(int flags) { return unshare(flags); }
int wafer_accept4(int fd) { return accept4(fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK); }
