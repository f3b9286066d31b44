// Tap interfaces (Documentation/networking/tuntap.rst).
#ifndef WAFER_CLINUX_TUN_H
#define WAFER_CLINUX_TUN_H

#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>

enum : unsigned long {
    WAFER_TUNSETIFF = TUNSETIFF,
    WAFER_TUNGETIFF = TUNGETIFF,
    WAFER_TUNSETPERSIST = TUNSETPERSIST,
    WAFER_TUNSETOWNER = TUNSETOWNER,
    WAFER_TUNGETFEATURES = TUNGETFEATURES,
    WAFER_TUNSETOFFLOAD = TUNSETOFFLOAD,
    WAFER_TUNSETTXFILTER = TUNSETTXFILTER,
    WAFER_TUNSETVNETHDRSZ = TUNSETVNETHDRSZ,
    WAFER_TUNSETVNETLE = TUNSETVNETLE,
    WAFER_TUNSETQUEUE = TUNSETQUEUE,
    WAFER_TUNSETSNDBUF = TUNSETSNDBUF,
    WAFER_TUNSETCARRIER = TUNSETCARRIER,
};
// Some of these share names with enumerators of <net/if.h>, some are plain macros; all arrive alike this way.
enum : unsigned int {
    WAFER_IFF_TAP = IFF_TAP,
    WAFER_IFF_NO_PI = IFF_NO_PI,
    WAFER_IFF_VNET_HDR = IFF_VNET_HDR,
    WAFER_IFF_MULTI_QUEUE = IFF_MULTI_QUEUE,
    WAFER_IFF_ATTACH_QUEUE = IFF_ATTACH_QUEUE,
    WAFER_IFF_DETACH_QUEUE = IFF_DETACH_QUEUE,
    WAFER_IFF_TUN_EXCL = IFF_TUN_EXCL,
    WAFER_TUN_F_CSUM = TUN_F_CSUM,
    WAFER_TUN_F_TSO4 = TUN_F_TSO4,
    WAFER_TUN_F_TSO6 = TUN_F_TSO6,
    WAFER_TUN_F_TSO_ECN = TUN_F_TSO_ECN,
    WAFER_TUN_F_UFO = TUN_F_UFO,
    WAFER_TUN_FLT_ALLMULTI = TUN_FLT_ALLMULTI,
};

// ifreq holds pointers in its union, which would make every use unsafe in Swift; of it tun uses only these.
struct wafer_tun_request {
    char name[IFNAMSIZ];
    unsigned short flags;
    char rest[sizeof(struct ifreq) - IFNAMSIZ - sizeof(unsigned short)];
};
_Static_assert(sizeof(struct wafer_tun_request) == sizeof(struct ifreq), "ifreq");
static inline void wafer_tun_request_set(struct wafer_tun_request *request, const char *name, unsigned int flags) {
    memset(request, 0, sizeof *request);
    strncpy(request->name, name, IFNAMSIZ - 1);
    request->flags = (unsigned short)flags;
}
static inline const char *wafer_tun_request_name(struct wafer_tun_request *request) {
    request->name[IFNAMSIZ - 1] = 0;
    return request->name;
}

#endif
