// Packet sockets (packet(7)) and Internet sockets. Addresses are passed as numbers, because libc's calls take a union of
// address types that Swift does not see.
#ifndef WAFER_CLINUX_INET_H
#define WAFER_CLINUX_INET_H

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

// Binds a packet socket to a protocol (host order) on a link.
int wafer_packet_bind(int fd, int protocol, unsigned link);
// Receives a frame without waiting; `ready` tells whether its checksums are filled in (PACKET_AUXDATA).
ssize_t wafer_packet_receive(int fd, void *buffer, size_t count, int *ready);
int wafer_packet_want_auxiliary_data(int fd);

// IPv4 addresses and ports in host order.
int wafer_inet_bind(int fd, uint32_t address, uint16_t port);
// The port a socket is bound to; zero if it is to none.
uint16_t wafer_inet_port(int fd);
ssize_t wafer_inet_send(int fd, const void *bytes, size_t count, uint32_t address, uint16_t port);
ssize_t wafer_inet_receive(int fd, void *buffer, size_t count, uint32_t *address, uint16_t *port);
// IPv6 addresses as 16 bytes; `scope` is the link of a link-local address.
ssize_t wafer_inet6_send(int fd, const void *bytes, size_t count, const uint8_t *address, unsigned scope);
ssize_t wafer_inet6_receive(int fd, void *buffer, size_t count, uint8_t *address);

// Sockets that have one peer.
// `address` is 4 bytes of IPv4 or 16 bytes of IPv6, by `family`.
int wafer_peer_connect(int fd, int family, const uint8_t *address, uint16_t port);
// Makes the kernel say when each datagram came.
int wafer_want_timestamps(int fd);
// Receives a datagram without waiting; the time is CLOCK_REALTIME's, 0 if the kernel gave none.
ssize_t wafer_receive_stamped(int fd, void *buffer, size_t count, int64_t *seconds, int64_t *nanoseconds);
// Sends without waiting and without SIGPIPE.
ssize_t wafer_send(int fd, const void *bytes, size_t count);
// The error that a connection ended with, or 0.
int wafer_socket_error(int fd);

#endif
