// Calls whose arguments libc declares as a union of address types, and control messages, whose layout is macros.
#define _GNU_SOURCE 1
#include "inet.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <time.h>

// Receives without waiting. The control message of this level and kind, if it came, is copied to `data`.
static ssize_t receive_with_control(int fd, void *buffer, size_t count, int level, int kind, void *data, size_t size) {
    struct iovec piece = {buffer, count};
    union {
        struct cmsghdr header;
        char bytes[64];
    } control;
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t result = recvmsg(fd, &message, MSG_DONTWAIT);
    if (result < 0) return result;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == level && part->cmsg_type == kind) memcpy(data, CMSG_DATA(part), size);
    }
    return result;
}

_Static_assert(CMSG_SPACE(sizeof(struct tpacket_auxdata)) <= 64, "room for packet data");
_Static_assert(CMSG_SPACE(sizeof(struct timespec)) <= 64, "room for a time stamp");

int wafer_packet_bind(int fd, int protocol, unsigned link) {
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = (int)link};
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}

int wafer_packet_want_auxiliary_data(int fd) {
    int on = 1;
    return setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
}

ssize_t wafer_packet_receive(int fd, void *buffer, size_t count, int *ready) {
    struct tpacket_auxdata data = {0};
    ssize_t result =
        receive_with_control(fd, buffer, count, SOL_PACKET, PACKET_AUXDATA, &data, sizeof data);
    *ready = !(data.tp_status & TP_STATUS_CSUMNOTREADY);
    return result;
}

static struct sockaddr_in inet_address(uint32_t address, uint16_t port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};
    result.sin_addr.s_addr = htonl(address);
    return result;
}

int wafer_inet_bind(int fd, uint32_t address, uint16_t port) {
    struct sockaddr_in name = inet_address(address, port);
    return bind(fd, (struct sockaddr *)&name, sizeof name);
}

uint16_t wafer_inet_port(int fd) {
    struct sockaddr_in name = {0};
    socklen_t length = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &length) != 0 || name.sin_family != AF_INET) return 0;
    return ntohs(name.sin_port);
}

ssize_t wafer_inet_send(int fd, const void *bytes, size_t count, uint32_t address, uint16_t port) {
    struct sockaddr_in name = inet_address(address, port);
    return sendto(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, sizeof name);
}

ssize_t wafer_inet_receive(int fd, void *buffer, size_t count, uint32_t *address, uint16_t *port) {
    struct sockaddr_in name = {0};
    socklen_t length = sizeof name;
    ssize_t result = recvfrom(fd, buffer, count, MSG_DONTWAIT, (struct sockaddr *)&name, &length);
    *address = ntohl(name.sin_addr.s_addr);
    *port = ntohs(name.sin_port);
    return result;
}

ssize_t wafer_inet6_send(int fd, const void *bytes, size_t count, const uint8_t *address, unsigned scope) {
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_scope_id = scope};
    memcpy(&name.sin6_addr, address, sizeof name.sin6_addr);
    return sendto(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, sizeof name);
}

ssize_t wafer_inet6_receive(int fd, void *buffer, size_t count, uint8_t *address) {
    struct sockaddr_in6 name = {0};
    socklen_t length = sizeof name;
    ssize_t result = recvfrom(fd, buffer, count, MSG_DONTWAIT, (struct sockaddr *)&name, &length);
    memcpy(address, &name.sin6_addr, sizeof name.sin6_addr);
    return result;
}

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
    struct timespec time = {0};
    ssize_t result =
        receive_with_control(fd, buffer, count, SOL_SOCKET, SCM_TIMESTAMPNS, &time, sizeof time);
    *seconds = time.tv_sec;
    *nanoseconds = time.tv_nsec;
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
