#define _GNU_SOURCE
#include "privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534
#define KEPT (1ull << CAP_BPF | 1ull << CAP_PERFMON)

static bool get_capabilities(struct __user_cap_data_struct data[2]) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &header, data) == 0;
}

static uint64_t effective(const struct __user_cap_data_struct data[2]) {
    return (uint64_t)data[0].effective | (uint64_t)data[1].effective << 32;
}

bool privileges_suffice(void) {
    struct __user_cap_data_struct data[2];
    if (!get_capabilities(data)) return false;
    uint64_t held = effective(data);
    return (held & 1ull << CAP_SYS_ADMIN) != 0 || (held & KEPT) == KEPT;
}

/* Needs CAP_SETPCAP; without it the bounding set does not matter, because of no_new_privs. */
static void clear_bounding_set(void) {
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static bool become_nobody(void) {
    if (geteuid() != 0) return setresuid(getuid(), getuid(), getuid()) == 0;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(0, NULL) != 0) return false;
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0) return false;
    return setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static bool keep_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (!get_capabilities(data)) return false;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(KEPT >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) == 0;
}

bool privileges_drop(void) {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    clear_bounding_set();
    if (!become_nobody() || !keep_capabilities()) return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}
