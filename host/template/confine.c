#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../core.h"

#define OPEN_FILES_MAX 256
#define X32_SYSCALL_BIT 0x40000000

/* Nothing here takes a path that it opens, makes a socket, or names another process. */
static const int allowed[] = {
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_lseek,
    SYS_recvmsg, SYS_sendmsg, SYS_recvfrom, SYS_sendto, SYS_shutdown, SYS_getsockopt, SYS_poll, SYS_ppoll, SYS_fcntl,
    SYS_close, SYS_fstat, SYS_newfstatat, SYS_fsync, SYS_fdatasync, SYS_fallocate, SYS_fadvise64, SYS_eventfd2,
    SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex, SYS_sched_yield,
    SYS_sched_getaffinity, SYS_set_robust_list, SYS_rseq, SYS_gettid, SYS_getpid, SYS_rt_sigprocmask,
    SYS_rt_sigaction, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_clock_gettime, SYS_gettimeofday, SYS_time, SYS_getrandom, SYS_sysinfo, SYS_uname, SYS_exit, SYS_exit_group,
};
#define ALLOWED_COUNT (sizeof(allowed) / sizeof(allowed[0]))

static int drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    return (int)syscall(SYS_capset, &header, none);
}

/* The system calls themselves: the C library's functions would ask threads to follow that the copy does not have. */
static int become(uid_t owner) {
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return -1;
    }
    if (syscall(SYS_setgroups, 0, NULL) < 0) return -1;
    if (syscall(SYS_setresgid, owner, owner, owner) < 0) return -1;
    return (int)syscall(SYS_setresuid, owner, owner, owner);
}

static int limit_resources(void) {
    const struct rlimit files = {OPEN_FILES_MAX, OPEN_FILES_MAX};
    if (core_refuse() < 0) return -1;
    return setrlimit(RLIMIT_NOFILE, &files);
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, count)
#define END(action) BPF_STMT(BPF_RET | BPF_K, (unsigned)(action))
#define REFUSE(error) END(SECCOMP_RET_ERRNO | (error))

/* seccomp(2). The low half of an argument comes first on a little-endian machine, which all that are named here are. */
static int filter_system_calls(void) {
    const struct sock_filter head[] = {
        LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0), END(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_SYSCALL_BIT, 0, 1), END(SECCOMP_RET_KILL_PROCESS),
        /* Threads, but no processes; the C library uses clone(2) where it is told that there is no clone3(2). */
        SKIP_UNLESS(SYS_clone3, 1), REFUSE(ENOSYS),
        SKIP_UNLESS(SYS_clone, 4), LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
        END(SECCOMP_RET_ALLOW), REFUSE(EPERM),
        /* Signals to its own threads alone. */
        SKIP_UNLESS(SYS_tgkill, 4), LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)getpid(), 0, 1),
        END(SECCOMP_RET_ALLOW), REFUSE(EPERM),
    };
    const size_t head_count = sizeof(head) / sizeof(head[0]);
    struct sock_filter filter[sizeof(head) / sizeof(head[0]) + 2 * ALLOWED_COUNT + 1];
    for (size_t i = 0; i < head_count; i++) filter[i] = head[i];
    struct sock_filter *next = filter + head_count;
    for (size_t i = 0; i < ALLOWED_COUNT; i++) {
        *next++ = (struct sock_filter)SKIP_UNLESS(allowed[i], 1);
        *next++ = (struct sock_filter)END(SECCOMP_RET_ALLOW);
    }
    *next++ = (struct sock_filter)REFUSE(EPERM);
    struct sock_fprog program = {.len = (unsigned short)(next - filter), .filter = filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int confine(uid_t owner) {
    if (limit_resources() < 0) return -1;
    if (owner != 0 && become(owner) < 0) return -1;
    if (drop_capabilities() < 0) return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return -1;
    /* After the change of user, which the kernel forgets it at. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return -1;
    return filter_system_calls();
}
