// Counts what hot paths must not do: allocate, and count references. For benchmarks only.

#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdint.h>

/// Calls by all threads while counting was on.
struct wafer_counts {
    /// malloc, calloc, realloc and the aligned ones, whoever calls them: Swift's objects come from them too.
    uint64_t allocations;
    /// swift_retain and its kin; a retain of N counts once.
    uint64_t retains;
    /// swift_release and its kin.
    uint64_t releases;
};

/// Call once before the first counting.
void wafer_counting_prepare(void);

/// Counts from zero.
void wafer_counting_start(void);

/// Stops counting and returns what was counted.
struct wafer_counts wafer_counting_stop(void);

/// Remembers where the next `count` counted calls come from.
void wafer_counting_trace(unsigned count);

/// Writes them to standard error, the callers of each in one line, innermost first.
void wafer_counting_print_trace(void);

#endif
