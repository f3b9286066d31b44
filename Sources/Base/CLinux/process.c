// Process and system interfaces that libc shows only with _GNU_SOURCE, or as macros.
#define _GNU_SOURCE 1
#include "process.h"

#include <sys/reboot.h>
#include <unistd.h>

_Static_assert(WAFER_SPAWN_SETSID == POSIX_SPAWN_SETSID, "POSIX_SPAWN_SETSID");

int wafer_pipe(int descriptors[2], int flags) { return pipe2(descriptors, flags); }

int wafer_spawn_add_chdir(posix_spawn_file_actions_t *actions, const char *path) {
    return posix_spawn_file_actions_addchdir_np(actions, path);
}

int wafer_power_off(void) { return reboot((int)RB_POWER_OFF); }
int wafer_restart(void) { return reboot((int)RB_AUTOBOOT); }
int wafer_halt(void) { return reboot((int)RB_HALT_SYSTEM); }
int wafer_disable_ctrl_alt_del(void) { return reboot((int)RB_DISABLE_CAD); }
