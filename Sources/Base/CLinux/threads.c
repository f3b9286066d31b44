#include "include/CLinux.h"

static void nothing(int signal) { (void)signal; }

int wafer_install_wakeup_handler(int signal) {
    // No SA_RESTART: the point is that a blocking call, KVM_RUN above all, returns EINTR.
    struct sigaction action = {.sa_handler = nothing};
    sigemptyset(&action.sa_mask);
    return sigaction(signal, &action, 0);
}

int wafer_ignore_signal(int signal) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigemptyset(&action.sa_mask);
    return sigaction(signal, &action, 0);
}
