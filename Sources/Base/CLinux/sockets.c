// Calls whose arguments libc declares as a union of address types, and control messages, whose layout is macros.
#define _GNU_SOURCE 1
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

int wafer_peer_connect(int fd, int family, const uint8_t *address, uint16_t port) {
    if (family == AF_INET) {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&name.sin_addr, address, sizeof name.sin_addr);
        return connect(fd, (struct sockaddr *)&name, sizeof name);
    }
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&name.sin6_addr, address, sizeof name.sin6_addr);
    return connect(fd, (struct sockaddr *)&name, sizeof name);
}

int wafer_want_timestamps(int fd) {
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

ssize_t wafer_receive_stamped(int fd, void *buffer, size_t count, int64_t *seconds, int64_t *nanoseconds) {
    struct iovec piece = {buffer, count};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t result = recvmsg(fd, &message, MSG_DONTWAIT);
    *seconds = *nanoseconds = 0;
    if (result < 0) return result;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec time;
        memcpy(&time, CMSG_DATA(part), sizeof time);
        *seconds = time.tv_sec;
        *nanoseconds = time.tv_nsec;
    }
    return result;
}

ssize_t wafer_send(int fd, const void *bytes, size_t count) {
    return send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int wafer_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}
