/*
 * Follows one process tree and writes what the kernel saw of it as frames (docs/observer-link.md). It only ever reads:
 * the command does not notice whether it lives.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control.h"
#include "options.h"
#include "output.h"
#include "privileges.h"
#include "programs.h"
#include "records.h"
#include "report.h"

#define EXIT_BROKEN 1
#define EXIT_USAGE 2
#define EXIT_NOT_OBSERVING 3
#define NAP_MS 50
#define SHORT_NAP_MS 1
#define WAIT_MS 100
#define NS_PER_MS 1000000u
#define HEARTBEAT_NS 1000000000u

struct observer {
    struct options options;
    struct programs programs;
    struct records records;
    struct control control;
    struct output output;
    struct ring_buffer *ring;
    int epoll;
    int signals;
    uint32_t awaited; /* of descriptor 1 */
    bool following;
    bool stopping;
    uint64_t last_written;
};

/*
 * How many records there were. Who reads sums cannot see from single events up to when it was told everything, so a
 * heartbeat says it.
 */
static int drain(struct observer *observer) {
    uint64_t begun = monotonic_ns();
    int count = ring_buffer__consume(observer->ring);
    if (count <= 0) return count;
    records_flush(&observer->records);
    if (observer->records.gathers) report_heartbeat(&observer->output, observer->programs.counters, begun);
    output_flush(&observer->output);
    observer->last_written = monotonic_ns();
    return count;
}

/* --- the end --- */

/* One call for all of them where the kernel can (from 5.13 on), else one for each: 3,072 calls take milliseconds. */
static bool read_calls(int map, struct call_count *parts, size_t processors) {
    uint32_t keys[CALLS_PER_ABI * ABIS], cursor = 0, count = CALLS_PER_ABI * ABIS;
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    int error = bpf_map_lookup_batch(map, NULL, &cursor, keys, parts, &count, &options);
    if (count == CALLS_PER_ABI * ABIS && (error == 0 || error == -ENOENT)) return true;
    for (uint32_t i = 0; i < CALLS_PER_ABI * ABIS; i++)
        if (bpf_map_lookup_elem(map, &i, parts + i * processors) != 0) return false;
    return true;
}

static void add_counts(struct call_count *sum, const struct call_count *part) {
    sum->calls += part->calls;
    sum->failed += part->failed;
    sum->eperm += part->eperm;
    sum->eacces += part->eacces;
}

static void report_calls(struct observer *observer) {
    int possible = libbpf_num_possible_cpus();
    size_t processors = possible < 1 ? 1 : (size_t)possible;
    struct call_count *sums = calloc(CALLS_PER_ABI * ABIS, sizeof(*sums));
    struct call_count *parts = calloc(CALLS_PER_ABI * ABIS * processors, sizeof(*parts));
    if (sums != NULL && parts != NULL && read_calls(observer->programs.calls, parts, processors)) {
        for (size_t i = 0; i < CALLS_PER_ABI * ABIS * processors; i++) add_counts(&sums[i / processors], &parts[i]);
        report_syscalls(&observer->output, sums);
    }
    free(parts);
    free(sums);
}

static int finish(struct observer *observer) {
    struct counters *counters = observer->programs.counters;
    enum why why = observer->following && counters->alive == 0 ? WHY_ENDED : WHY_STOPPED;
    /* After the end of the tree nothing can come any more: the host need not wait until everything is detached. */
    if (why == WHY_STOPPED) programs_detach(&observer->programs);
    while (drain(observer) > 0) continue;
    records_close_all(&observer->records);
    if (observer->following) report_calls(observer);
    counters->gaps[GAP_MISSED] = programs_missed(&observer->programs);
    report_end(&observer->output, why, counters);
    output_finish(&observer->output);
    return observer->output.broken ? EXIT_BROKEN : EXIT_SUCCESS;
}

static int give_up(struct observer *observer, const struct failure *failure) {
    report_failed(&observer->output, failure->stage, failure->error, failure->reason, failure->detail);
    output_finish(&observer->output);
    return observer->output.broken ? EXIT_BROKEN : EXIT_NOT_OBSERVING;
}

/* --- the loop --- */

/* False when the host broke the protocol, or the process cannot be followed (then `failure` has a reason). */
static bool take_control(struct observer *observer, struct failure *failure) {
    uint8_t bytes[256];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (got <= 0) {
        observer->stopping = true;
        return true;
    }
    switch (control_take(&observer->control, bytes, (size_t)got)) {
    case CONTROL_WAITING:
        return true;
    case CONTROL_REFUSED:
        return false;
    case CONTROL_FOLLOWS:
        break;
    }
    if (!programs_follow(&observer->programs, observer->control.pid, failure)) return false;
    observer->following = true;
    observer->last_written = monotonic_ns();
    report_attached(&observer->output, observer->control.pid);
    output_flush(&observer->output);
    return true;
}

/* Asks to be told when the reader takes more, while there is something for it. */
static void await_reader(struct observer *observer) {
    struct epoll_event event = {.events = output_waits(&observer->output) ? EPOLLOUT : 0, .data.fd = STDOUT_FILENO};
    if (event.events == observer->awaited) return;
    if (epoll_ctl(observer->epoll, EPOLL_CTL_MOD, STDOUT_FILENO, &event) == 0) observer->awaited = event.events;
}

static void serve_reader(struct observer *observer, uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP)) observer->output.broken = true;
    else output_send(&observer->output);
}

/* Once, at most so long; `woken` says whether there is more to do than to go on sleeping. False as below. */
static bool doze(struct observer *observer, int milliseconds, struct failure *failure, bool *woken) {
    struct epoll_event events[4];
    await_reader(observer);
    int count = epoll_wait(observer->epoll, events, 4, milliseconds);
    *woken = count <= 0;
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (fd == STDIN_FILENO && !take_control(observer, failure)) return false;
        if (fd == STDOUT_FILENO) serve_reader(observer, events[i].events);
        else *woken = true;
        if (fd == observer->signals) observer->stopping = true;
    }
    return true;
}

/*
 * Sleeps until something happens; what the host or a signal says is dealt with. That the reader takes more is no end of
 * it: a slow host has the more to read the less is added up before.
 */
static bool sleep_for(struct observer *observer, int milliseconds, struct failure *failure) {
    uint64_t until = monotonic_ns() + (uint64_t)milliseconds * NS_PER_MS, now;
    bool woken = false;
    while (!woken && !observer->output.broken && (now = monotonic_ns()) < until)
        if (!doze(observer, (int)((until - now + NS_PER_MS - 1) / NS_PER_MS), failure, &woken)) return false;
    return true;
}

static void beat(struct observer *observer) {
    uint64_t now = monotonic_ns();
    if (!observer->following || now - observer->last_written < HEARTBEAT_NS) return;
    report_heartbeat(&observer->output, observer->programs.counters, now);
    output_flush(&observer->output);
    observer->last_written = now;
}

static bool tree_has_ended(const struct observer *observer) {
    return observer->following && __atomic_load_n(&observer->programs.counters->alive, __ATOMIC_SEQ_CST) == 0;
}

static int nap_of(const struct observer *observer) {
    if (observer->records.processes.count == 0) return SHORT_NAP_MS;
    return observer->records.gathers ? (int)observer->options.gather_ms : NAP_MS;
}

/*
 * A wakeup costs the command some 4 us, so there is one per batch: while records come, the kernel is told not to wake
 * the reader, who looks every 50 ms by itself, or less often when it gathers; only when nothing came does it ask to be woken.
 */
static int watch(struct observer *observer, struct failure *failure) {
    uint32_t *reader = &observer->programs.counters->reader;
    while (!observer->stopping && !observer->output.broken) {
        int nap = WAIT_MS;
        __atomic_store_n(reader, READER_WAITS, __ATOMIC_SEQ_CST);
        if (drain(observer) > 0) {
            __atomic_store_n(reader, READER_NAPS, __ATOMIC_SEQ_CST);
            nap = nap_of(observer);
        } else if (tree_has_ended(observer)) {
            return finish(observer);
        }
        beat(observer);
        if (!sleep_for(observer, nap, failure))
            return failure->reason == NULL ? EXIT_BROKEN : give_up(observer, failure);
        __atomic_store_n(reader, READER_BUSY, __ATOMIC_SEQ_CST);
    }
    return observer->output.broken ? EXIT_BROKEN : finish(observer);
}

/* --- start --- */

static bool add_to_epoll(int epoll, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* A regular file or /dev/null cannot be waited for (EPERM), and nobody who speaks the protocol is behind it. */
static bool listen_to_host(struct observer *observer) {
    if (add_to_epoll(observer->epoll, STDIN_FILENO, EPOLLIN)) return true;
    observer->stopping = errno == EPERM;
    return observer->stopping;
}

static bool listen_to_reader(struct observer *observer) {
    return add_to_epoll(observer->epoll, STDOUT_FILENO, 0) || errno == EPERM;
}

static bool open_descriptors(struct observer *observer) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    observer->signals = signalfd(-1, &set, SFD_CLOEXEC);
    observer->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (observer->signals < 0 || observer->epoll < 0) return false;
    /* Edge-triggered: unread records are no reason to wake up, only the kernel's wakeups are. */
    return listen_to_host(observer) && listen_to_reader(observer) &&
           add_to_epoll(observer->epoll, observer->signals, EPOLLIN) &&
           add_to_epoll(observer->epoll, observer->programs.events, EPOLLIN | EPOLLET);
}

static bool start(struct observer *observer, struct failure *failure) {
    uid_t user = getuid();
    failure->stage = STAGE_START;
    failure->reason = "internal";
    if (!privileges_suffice()) {
        failure->reason = "no_privilege";
        snprintf(failure->detail, sizeof(failure->detail), "needs root, or CAP_BPF and CAP_PERFMON");
        return false;
    }
    if (!programs_load(&observer->programs, &observer->options, user == 0, failure)) return false;
    observer->programs.started_by = user;
    if (!programs_attach(&observer->programs, failure)) return false;
    failure->stage = STAGE_START;
    failure->reason = "internal";
    records_init(&observer->records, &observer->output, observer->programs.files, observer->programs.peers,
                 observer->options.gather_ms > 0);
    observer->ring = ring_buffer__new(observer->programs.events, records_take, &observer->records, NULL);
    if (observer->ring == NULL || !open_descriptors(observer) || !privileges_drop()) {
        failure->error = errno;
        snprintf(failure->detail, sizeof(failure->detail), "ring buffer, descriptors or privileges");
        return false;
    }
    failure->reason = NULL;
    return true;
}

static void release(struct observer *observer) {
    ring_buffer__free(observer->ring);
    programs_free(&observer->programs);
    records_free(&observer->records);
    output_free(&observer->output);
}

int main(int argc, char **argv) {
    static struct observer observer;
    struct failure failure = {0};
    if (!options_parse(&observer.options, argc, argv)) return EXIT_USAGE;
    syscall(SYS_close_range, 3, ~0u, 0);
    output_init(&observer.output, STDOUT_FILENO);
    int result;
    if (start(&observer, &failure)) {
        report_loaded(&observer.output, &observer.options, observer.programs.uses, observer.programs.use_count);
        output_flush(&observer.output);
        result = watch(&observer, &failure);
    } else {
        result = give_up(&observer, &failure);
    }
    release(&observer);
    return result;
}
