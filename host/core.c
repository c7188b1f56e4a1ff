#include "core.h"

#include <errno.h>
#include <sys/resource.h>

int core_refuse(void) {
    /* One byte: less than any core, and the one value at which the kernel starts no program for it (fs/coredump.c). */
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = 1};
    const struct rlimit no_file = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_CORE, &none) == 0) return 0;
    return errno == EPERM ? setrlimit(RLIMIT_CORE, &no_file) : -1;
}
