// Calls whose arguments libc declares as a union of address types, and control messages, whose layout is macros.
#define _GNU_SOURCE 1
#include "inet.h"

#include <linux/if_packet.h>
#include <string.h>

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
    struct iovec piece = {buffer, count};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    } control;
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t result = recvmsg(fd, &message, MSG_DONTWAIT);
    *ready = 1;
    if (result < 0) return result;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) continue;
        struct tpacket_auxdata data;
        memcpy(&data, CMSG_DATA(part), sizeof data);
        *ready = !(data.tp_status & TP_STATUS_CSUMNOTREADY);
    }
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

int wafer_inet_connect(int fd, uint32_t address, uint16_t port) {
    struct sockaddr_in name = inet_address(address, port);
    return connect(fd, (struct sockaddr *)&name, sizeof name);
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
