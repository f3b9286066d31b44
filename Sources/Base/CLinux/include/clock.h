// The kernel's clock discipline. struct timex has members without names that Swift passes over.
#ifndef WAFER_CLINUX_CLOCK_H
#define WAFER_CLINUX_CLOCK_H

#include <stdint.h>
#include <sys/timex.h>

#endif
