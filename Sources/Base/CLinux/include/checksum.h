#ifndef WAFER_CLINUX_CHECKSUM_H
#define WAFER_CLINUX_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

// CRC-32C (RFC 3720, appendix B.4) of more bytes; begin with 0. With the processor's instruction where it has one.
uint32_t wafer_crc32c(uint32_t checksum, const void *bytes, size_t count);

#endif
