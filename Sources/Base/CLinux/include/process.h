// Starting processes, kernel modules, and ending the system.
#ifndef WAFER_CLINUX_PROCESS_H
#define WAFER_CLINUX_PROCESS_H

#include <spawn.h>

// libc shows these only with _GNU_SOURCE; see process.c.
int wafer_pipe(int descriptors[2], int flags);
int wafer_spawn_add_chdir(posix_spawn_file_actions_t *actions, const char *path);

// Macros with constants that do not fit a signed int. They return only if the kernel refuses.
int wafer_power_off(void);
int wafer_restart(void);
int wafer_halt(void);
int wafer_disable_ctrl_alt_del(void);

enum : short {
    WAFER_SPAWN_SETSID = 0x80, // POSIX_SPAWN_SETSID, a GNU extension
    WAFER_SPAWN_SETSIGMASK = POSIX_SPAWN_SETSIGMASK,
    WAFER_SPAWN_SETSIGDEF = POSIX_SPAWN_SETSIGDEF,
};

#endif
