// Netlink: network configuration (rtnetlink) and kernel object events.
#ifndef WAFER_CLINUX_NETLINK_H
#define WAFER_CLINUX_NETLINK_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

// The address is a transparent union in libc's declaration.
static inline int wafer_bind_netlink(int fd, const struct sockaddr_nl *address) {
    return bind(fd, (const struct sockaddr *)address, sizeof *address);
}
_Static_assert(sizeof(struct nlmsghdr) == 16, "nlmsghdr");
_Static_assert(sizeof(struct ifinfomsg) == 16, "ifinfomsg");
_Static_assert(sizeof(struct ifaddrmsg) == 8, "ifaddrmsg");
_Static_assert(sizeof(struct rtmsg) == 12, "rtmsg");
_Static_assert(sizeof(struct ndmsg) == 12, "ndmsg");

#endif
