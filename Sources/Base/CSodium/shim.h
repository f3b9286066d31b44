// libsodium (Debian: libsodium-dev), see docs/decisions/0004-libsodium.md. Only `Signatures` imports it.
#ifndef WAFER_CSODIUM_SHIM_H
#define WAFER_CSODIUM_SHIM_H

#include <sodium.h>

#endif
