#define _GNU_SOURCE 1
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// Where the linker put the program's read-only part.
extern const char __executable_start[], etext[];

void wafer_release_startup_memory(void) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = ((uintptr_t)__executable_start + page - 1) & ~(page - 1);
    uintptr_t end = (uintptr_t)etext & ~(page - 1);
    malloc_trim(0);
    // A private mapping of a file, never written: its pages come back from the file when they are needed.
    madvise((void *)start, end - start, MADV_DONTNEED);
}
