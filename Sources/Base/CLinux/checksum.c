#include "include/checksum.h"

#include <string.h>

// The polynomial 0x1EDC6F41 with its bits reversed.
static uint32_t by_bits(uint32_t checksum, const unsigned char *bytes, size_t count) {
    for (size_t index = 0; index < count; index++) {
        checksum ^= bytes[index];
        for (int bit = 0; bit < 8; bit++) checksum = checksum >> 1 ^ (0x82F63B78u & -(checksum & 1));
    }
    return checksum;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t checksum, const unsigned char *bytes, size_t count) {
    uint64_t state = checksum;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        state = __builtin_ia32_crc32di(state, word);
        bytes += 8;
        count -= 8;
    }
    checksum = (uint32_t)state;
    while (count-- > 0) checksum = __builtin_ia32_crc32qi(checksum, *bytes++);
    return checksum;
}
#endif

uint32_t wafer_crc32c(uint32_t checksum, const void *bytes, size_t count) {
#if defined(__x86_64__)
    // Every processor with virtualization but the first few has it.
    if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(~checksum, bytes, count);
#endif
    return ~by_bits(~checksum, bytes, count);
}
