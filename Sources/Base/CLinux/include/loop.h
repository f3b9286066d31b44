// Loop devices: structures and constants import as they are.
#ifndef WAFER_CLINUX_LOOP_H
#define WAFER_CLINUX_LOOP_H

#include <linux/loop.h>

#endif
