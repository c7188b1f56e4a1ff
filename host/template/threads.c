#define _GNU_SOURCE
#include "threads.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* QEMU blocks all signals in its threads but those of a fault, for which POSIX does not define what blocking does. */
#define PARK_SIGNAL SIGFPE
#define THREADS_MAX 64
/* Room for a signal's frame with all vector registers. */
#define START_STACK_BYTES 16384
#define PARK_TIMEOUT_MS 1000
#define LOOK_INTERVAL_MS 20

/* One thread, from the moment in which it is asked to stop. */
struct parked {
    pid_t tid;
    jmp_buf where;
    void *thread_pointer;
    /* Where the C library keeps the thread's id, and the kernel clears it at the thread's end. */
    pid_t *tid_address;
    char *start_stack;
    atomic_bool has_arrived;
};

static struct parked parked_threads[THREADS_MAX];
static int parked_count;
/* Odd while threads shall stay where they are. */
static atomic_int turn;
static atomic_int arrivals;

static void wait_while(atomic_int *word, int value, const struct timespec *at_most) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, at_most, NULL, 0);
}

static void wake_all(atomic_int *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static pid_t own_tid(void) {
    return (pid_t)syscall(SYS_gettid);
}

static struct parked *find(pid_t tid) {
    for (int i = 0; i < parked_count; i++) {
        if (parked_threads[i].tid == tid) return &parked_threads[i];
    }
    return NULL;
}

/* In the copy, setjmp returns a second time, on this very stack; what the thread needs then is in memory. */
static void stay(struct parked *slot, int while_turn) {
    volatile int awaited = while_turn;
    char start_stack[START_STACK_BYTES] __attribute__((aligned(64)));
    slot->start_stack = start_stack + START_STACK_BYTES;
    slot->thread_pointer = __builtin_thread_pointer();
    if (prctl(PR_GET_TID_ADDRESS, &slot->tid_address) < 0) slot->tid_address = NULL;
    if (_setjmp(slot->where) == 0) {
        atomic_store(&slot->has_arrived, true);
        atomic_fetch_add(&arrivals, 1);
        wake_all(&arrivals);
    }
    while (atomic_load(&turn) == awaited) wait_while(&turn, awaited, NULL);
}

/* Runs on the stack of the thread that shall stop: below it the kernel has put the registers with which it goes on. */
static void park(int number, siginfo_t *info, void *context) {
    (void)context;
    int saved_errno = errno;
    int now = atomic_load(&turn);
    struct parked *slot = find(own_tid());
    if (info->si_code > 0) {
        /* A real fault, which comes again when we return, and then does what it does without us. */
        signal(number, SIG_DFL);
    } else if (info->si_code == SI_TKILL && info->si_pid == getpid() && now % 2 == 1 && slot != NULL) {
        stay(slot, now);
    }
    errno = saved_errno;
}

int threads_prepare(void) {
    struct sigaction action = {.sa_sigaction = park, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    return sigaction(PARK_SIGNAL, &action, NULL);
}

static int ask_to_park(pid_t tid) {
    if (parked_count == THREADS_MAX) {
        errno = EAGAIN;
        return -1;
    }
    parked_threads[parked_count] = (struct parked){.tid = tid};
    parked_count++;
    if (syscall(SYS_tgkill, getpid(), tid, PARK_SIGNAL) == 0) return 1;
    parked_count--;
    return errno == ESRCH ? 0 : -1;
}

/* The number of threads that were found beside those that were asked before; -1 with errno. */
static int ask_the_others(void) {
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) return -1;
    int found = 0;
    for (struct dirent *entry; found >= 0 && (entry = readdir(tasks)) != NULL;) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        if (tid == 0 || tid == own_tid() || find(tid) != NULL) continue;
        int asked = ask_to_park(tid);
        found = asked < 0 ? -1 : found + asked;
    }
    closedir(tasks);
    return found;
}

/* A thread may end instead of stopping. */
static void forget_those_that_ended(void) {
    for (int i = parked_count - 1; i >= 0; i--) {
        if (atomic_load(&parked_threads[i].has_arrived)) continue;
        if (syscall(SYS_tgkill, getpid(), parked_threads[i].tid, 0) == 0 || errno != ESRCH) continue;
        /* Nobody else may move: a slot is its thread's. */
        parked_threads[i].tid = -1;
        atomic_store(&parked_threads[i].has_arrived, true);
        atomic_fetch_add(&arrivals, 1);
    }
}

static long milliseconds_since(const struct timespec *begin) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

static int await_arrivals(void) {
    const struct timespec interval = {.tv_nsec = LOOK_INTERVAL_MS * 1000L * 1000L};
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int so_far; (so_far = atomic_load(&arrivals)) < parked_count; forget_those_that_ended()) {
        if (milliseconds_since(&begin) > PARK_TIMEOUT_MS) {
            errno = ETIMEDOUT;
            return -1;
        }
        wait_while(&arrivals, so_far, &interval);
    }
    return 0;
}

/* Threads may be born while others are being stopped, but not once all are. */
static int park_all(void) {
    parked_count = 0;
    atomic_store(&arrivals, 0);
    atomic_fetch_add(&turn, 1);
    int found;
    while ((found = ask_the_others()) > 0) {
        if (await_arrivals() < 0) return -1;
    }
    return found;
}

static void release_all(void) {
    atomic_fetch_add(&turn, 1);
    wake_all(&turn);
}

/* In the copy, the thread that forked has another id than the C library believes. */
static pid_t adopt_own_id(void) {
    pid_t *address = NULL;
    if (prctl(PR_GET_TID_ADDRESS, &address) == 0 && address != NULL) *address = own_tid();
    return 0;
}

pid_t threads_fork(void) {
    pid_t pid = -1;
    /* Not fork(3), which tidies away what it believes that other threads have left. */
    if (park_all() == 0) pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) return adopt_own_id();
    int saved_errno = errno;
    release_all();
    errno = saved_errno;
    return pid;
}

static int go_on(void *argument) {
    struct parked *slot = argument;
    _longjmp(slot->where, 1);
}

static int revive(struct parked *slot) {
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                      CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    if (slot->tid < 0) return 0;
    if (slot->tid_address == NULL) {
        errno = ENOTSUP;
        return -1;
    }
    return clone(go_on, slot->start_stack, flags, slot, slot->tid_address, slot->thread_pointer, slot->tid_address) < 0
               ? -1
               : 0;
}

int threads_revive(void) {
    for (int i = 0; i < parked_count; i++) {
        if (revive(&parked_threads[i]) < 0) return -1;
    }
    release_all();
    return 0;
}
