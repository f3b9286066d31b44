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

int wafer_setns(int fd, int kind) { return setns(fd, kind); }

int wafer_accept4(int fd) { return accept4(fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int wafer_peer_credentials(int fd, int *process, unsigned *user, unsigned *group) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    *process = peer.pid;
    *user = peer.uid;
    *group = peer.gid;
    return 0;
}
