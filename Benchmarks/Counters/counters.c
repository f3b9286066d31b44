#include "Counters.h"

#include <errno.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// glibc's own allocator under its second names; ours below take the usual ones and so see every caller.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

// The linker's --wrap (see Package.swift) sends calls of NAME to __wrap_NAME, and those of __real_NAME to NAME.
#define WRAPPED(result, name, ...)                 \
    extern result __real_##name(__VA_ARGS__);      \
    result __wrap_##name(__VA_ARGS__);             \
    result __wrap_##name(__VA_ARGS__)

static atomic_bool counting;
static atomic_uint_fast64_t allocations, retains, releases;

// Where calls came from.
enum { DEPTH = 8, TRACES = 64 };
static struct trace {
    const char *what;
    void *frames[DEPTH];
    int depth;
} traces[TRACES];
static atomic_uint traced, traces_wanted;
static _Thread_local bool tracing;

static void count(atomic_uint_fast64_t *counter, const char *what)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed) || tracing)
        return;
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    if (atomic_load_explicit(&traced, memory_order_relaxed) >= atomic_load_explicit(&traces_wanted, memory_order_relaxed))
        return;
    unsigned index = atomic_fetch_add(&traced, 1);
    if (index >= TRACES)
        return;
    tracing = true;
    traces[index].what = what;
    traces[index].depth = backtrace(traces[index].frames, DEPTH);
    tracing = false;
}

void *malloc(size_t size)
{
    count(&allocations, "allocate");
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count(&allocations, "allocate");
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size)
{
    count(&allocations, "allocate");
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    count(&allocations, "allocate");
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size)
{
    void *pointer = memalign(alignment, size);
    if (!pointer)
        return ENOMEM;
    *result = pointer;
    return 0;
}

// Null, and what is no counted object (the sign bit says so: short strings and literals), costs no reference counting.
static bool is_counted(void *object) { return (intptr_t)object > 0; }

static void count_retain(void *object)
{
    if (is_counted(object))
        count(&retains, "retain");
}

static void count_release(void *object)
{
    if (is_counted(object))
        count(&releases, "release");
}

#define RETAIN(name)                    \
    WRAPPED(void *, name, void *object) \
    {                                   \
        count_retain(object);           \
        return __real_##name(object);   \
    }
#define RETAIN_N(name)                                   \
    WRAPPED(void *, name, void *object, uint32_t number) \
    {                                                    \
        count_retain(object);                            \
        return __real_##name(object, number);            \
    }
#define RELEASE(name)                 \
    WRAPPED(void, name, void *object) \
    {                                 \
        count_release(object);        \
        __real_##name(object);        \
    }
#define RELEASE_N(name)                                \
    WRAPPED(void, name, void *object, uint32_t number) \
    {                                                  \
        count_release(object);                         \
        __real_##name(object, number);                 \
    }

RETAIN(swift_retain)
RETAIN_N(swift_retain_n)
RETAIN(swift_tryRetain)
RETAIN(swift_weakLoadStrong)
RETAIN(swift_weakTakeStrong)
RETAIN(swift_unownedRetainStrong)
RELEASE(swift_release)
RELEASE_N(swift_release_n)

void wafer_counting_prepare(void)
{
    void *frame;
    (void)backtrace(&frame, 1); // loads its library now, not in the middle of an allocation
}

void wafer_counting_start(void)
{
    atomic_store(&allocations, 0);
    atomic_store(&retains, 0);
    atomic_store(&releases, 0);
    atomic_store(&counting, true);
}

struct wafer_counts wafer_counting_stop(void)
{
    atomic_store(&counting, false);
    return (struct wafer_counts){atomic_load(&allocations), atomic_load(&retains), atomic_load(&releases)};
}

void wafer_counting_trace(unsigned wanted)
{
    atomic_store(&traced, 0);
    atomic_store(&traces_wanted, wanted < TRACES ? wanted : TRACES);
}

static bool is_same(const struct trace *one, const struct trace *other)
{
    return one->what == other->what && one->depth == other->depth
        && memcmp(one->frames, other->frames, sizeof(void *) * one->depth) == 0;
}

void wafer_counting_print_trace(void)
{
    unsigned number = atomic_load(&traced);
    if (number > TRACES)
        number = TRACES;
    for (unsigned index = 0; index < number; index++) {
        bool is_new = true;
        unsigned times = 0;
        for (unsigned other = 0; other < number; other++) {
            if (!is_same(&traces[index], &traces[other]))
                continue;
            times++;
            if (other < index)
                is_new = false;
        }
        if (!is_new)
            continue;
        dprintf(STDERR_FILENO, "%s (%u of %u):\n", traces[index].what, times, number);
        // The first frame is ours; the second may be, depending on what the compiler made of it.
        if (traces[index].depth > 1)
            backtrace_symbols_fd(traces[index].frames + 1, traces[index].depth - 1, STDERR_FILENO);
    }
    atomic_store(&traces_wanted, 0);
}
