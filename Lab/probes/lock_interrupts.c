// For QEMU 7.2 itself, loaded before its own libraries.
//
// A guest of a guest that writes CR8 while an interrupt waits for it has QEMU raise that interrupt without the lock that this needs
// (target/i386, helper_write_crN), which QEMU then finds and gives up. UEFI firmware writes CR8 at the end of every timer tick. Here the
// lock is taken around it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct CPUState CPUState;
typedef void (*Handle)(CPUState *, int);

static const char *const modules[] = {
    "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so", "/usr/lib/qemu/accel-tcg-x86_64.so"};

static Handle real;
static bool (*is_locked)(void);
static void (*lock)(const char *, int);
static void (*unlock)(void);

static void find(void) {
    for (size_t i = 0; i < sizeof modules / sizeof *modules && !real; i++) {
        void *module = dlopen(modules[i], RTLD_LAZY | RTLD_NOLOAD);
        if (module) real = (Handle)dlsym(module, "tcg_handle_interrupt");
    }
    is_locked = (bool (*)(void))dlsym(RTLD_DEFAULT, "qemu_mutex_iothread_locked");
    lock = (void (*)(const char *, int))dlsym(RTLD_DEFAULT, "qemu_mutex_lock_iothread_impl");
    unlock = (void (*)(void))dlsym(RTLD_DEFAULT, "qemu_mutex_unlock_iothread");
    if (!real || !is_locked || !lock || !unlock) abort();
}

// In place of the function of that name in QEMU's module.
void tcg_handle_interrupt(CPUState *cpu, int mask) {
    if (!real) find();
    bool held = is_locked();
    if (!held) lock(__FILE__, __LINE__);
    real(cpu, mask);
    if (!held) unlock();
}
