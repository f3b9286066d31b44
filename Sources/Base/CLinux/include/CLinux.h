// What Swift cannot import from the kernel and libc by itself, and why:
//  - variadic functions (ioctl, fcntl, syscall, open) and function-like macros are invisible to Swift;
//  - request codes are macros with casts, so they are re-exported as enumerators (they arrive as UInt constants);
//  - system calls without a libc wrapper.
// No logic lives here. Each header covers one kernel surface.
#ifndef WAFER_CLINUX_H
#define WAFER_CLINUX_H

#include "system.h"
#include "checksum.h"
#include "clock.h"
#include "files.h"
#include "inet.h"
#include "hardware.h"
#include "kvm.h"
#include "loop.h"
#include "memory.h"
#include "netlink.h"
#include "process.h"
#include "tun.h"
#include "vhost.h"
#include "uring.h"
#include "statx.h"

#endif
