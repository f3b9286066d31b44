// The processor and the hardware watchdog.
#ifndef WAFER_CLINUX_HARDWARE_H
#define WAFER_CLINUX_HARDWARE_H

#include <linux/watchdog.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

// An instruction, not a function. Gives zeros where there is no such leaf.
static inline uint32_t wafer_cpuid_ecx(uint32_t leaf) {
#if defined(__x86_64__)
    uint32_t a, b, c, d;
    return __get_cpuid(leaf, &a, &b, &c, &d) ? c : 0;
#else
    (void)leaf;
    return 0;
#endif
}

enum : unsigned long {
    WAFER_WDIOC_SETTIMEOUT = WDIOC_SETTIMEOUT,
};

#endif
