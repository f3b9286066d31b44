// Internet sockets that have one peer. Addresses are passed as bytes, because libc's calls take a union of address types that
// Swift does not see.
#ifndef WAFER_CLINUX_SOCKETS_H
#define WAFER_CLINUX_SOCKETS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

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
