// zlib (Debian: zlib1g-dev), see docs/decisions/0011-zlib.md. Only `Display` imports it.
#ifndef WAFER_CZLIB_SHIM_H
#define WAFER_CZLIB_SHIM_H

#include <zlib.h>

#endif
