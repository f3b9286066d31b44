// Sleeps for a moment on each processor, and ends when each has woken it up. On an emulated server with several threads a processor's timer
// sometimes never fires after the start (one start in some dozens, QEMU 7.2): then this does not end.

#include "bare.h"

START
{
    for (unsigned processor = 0; processor < 64; processor++) {
        const unsigned long set[1] = {1UL << processor};
        // EINVAL: there are no more.
        if (call(__NR_sched_setaffinity, 0, sizeof set, (long)set) < 0)
            leave(processor == 0);
        sleep_milliseconds(10);
    }
    leave(0);
}
