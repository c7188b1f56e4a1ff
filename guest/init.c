/*
 * PID 1 of a Glasshouse guest: brings the machine up, takes one request over the guest link, runs one program,
 * reports, and waits to be ended. docs/guest-link.md is its protocol; one event loop is its whole life.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "held.h"
#include "input-files.h"
#include "link.h"
#include "program.h"
#include "request.h"
#include "stdin-feed.h"
#include "system.h"
#include "vsock.h"
#include "workspace.h"

enum run_state { RECEIVING, RUNNING, ENDED };

struct guest {
    enum run_state state;
    struct link link;
    int listener; /* of vsock, until the program starts; or -1 */
    struct request request;
    struct program program;
    struct program held[HELD_MAX]; /* oldest first */
    size_t held_count;
    struct input_files files;
    int child_events;
    bool is_rehearsing; /* the program is not the one that the machine is for */
    struct stdin_feed stdin;
};

static struct guest guest;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "glasshouse guest init: %s: %s\n", what, strerror(errno));
    system_power_off();
}

static void check(int result, const char *what) {
    if (result < 0) fail(what);
}

static void check_link(bool alive) {
    if (!alive) system_power_off();
}

static void send_u64(uint16_t type, uint64_t value) {
    uint8_t payload[8];
    put_u64(payload, value);
    check_link(link_send(&guest.link, type, payload, sizeof(payload)));
}

static void send_hello(void) {
    uint8_t payload[12];
    put_u32(payload, LINK_PROTOCOL_VERSION);
    put_u64(payload + 4, system_uptime_ns());
    check_link(link_send(&guest.link, FRAME_HELLO, payload, sizeof(payload)));
}

/* All is said: the host ends the machine, and when the host is gone the machine ends itself. */
static _Noreturn void wait_for_the_end(void) {
    struct pollfd hangup = {.fd = guest.link.fd, .events = POLLRDHUP};
    while (poll(&hangup, 1, -1) < 0 || (hangup.revents & (POLLHUP | POLLRDHUP | POLLERR)) == 0) continue;
    system_power_off();
}

static _Noreturn void send_start_failed(int stage) {
    uint8_t payload[8];
    put_u32(payload, (uint32_t)stage);
    put_u32(payload + 4, (uint32_t)errno);
    check_link(link_send(&guest.link, FRAME_START_FAILED, payload, sizeof(payload)) && link_drain(&guest.link));
    wait_for_the_end();
}

static void check_start(int result, int stage) {
    if (result < 0) send_start_failed(stage);
}

static void grant_stdin(uint32_t bytes) {
    uint8_t payload[4];
    put_u32(payload, bytes);
    guest.request.stdin_granted += bytes;
    check_link(link_send(&guest.link, FRAME_STDIN_CREDIT, payload, sizeof(payload)));
}

static void check_stage(int stage) {
    if (stage != 0) send_start_failed(stage);
}

/* Nothing is frozen from here on: whoever connects now is not the host. */
static void close_listener(void) {
    if (guest.listener >= 0) close(guest.listener);
    guest.listener = -1;
}

static void announce_start(void) {
    guest.state = RUNNING;
    send_u64(FRAME_STARTED, system_uptime_ns());
    grant_stdin(STDIN_WINDOW);
}

static void hold_program(void) {
    check_stage(input_files_ensure_workspace(&guest.files));
    struct program *program = &guest.held[guest.held_count++];
    program_init(program);
    check_stage(program_hold(program, &guest.request));
    check_stage(input_files_prepare_program_file(&guest.files));
    request_renew(&guest.request);
    system_settle();
    check_link(link_send(&guest.link, FRAME_HELD, NULL, 0));
}

static struct program take_held(void) {
    struct program oldest = guest.held[0];
    memmove(guest.held, guest.held + 1, --guest.held_count * sizeof(guest.held[0]));
    return oldest;
}

static void start_program(void) {
    check_stage(input_files_ensure_workspace(&guest.files));
    check_stage(input_files_discard_program_file(&guest.files));
    check_stage(program_start(&guest.program, &guest.request));
    close_listener();
    announce_start();
}

static void release_held(void) {
    guest.program = take_held();
    check_stage(input_files_discard_program_file(&guest.files));
    check_stage(program_release(&guest.program, &guest.request));
    announce_start();
}

static void release_program(void) {
    close_listener();
    release_held();
}

/* All of it is as for a real program, so that all of it has been done once. */
static void rehearse_program(void) {
    guest.is_rehearsing = true;
    release_held();
}

static void close_stdin(void) {
    if (guest.program.stdin_fd >= 0) close(guest.program.stdin_fd);
    guest.program.stdin_fd = -1;
}

/*
 * The program may close its end whenever it likes; what it did not read is dropped, as in a pipeline. Every grant
 * needs room on the link: waiting for it here would keep the host's orders waiting too.
 */
static void write_stdin(void) {
    while (guest.program.stdin_fd >= 0 && guest.stdin.length > 0 && link_has_room(&guest.link)) {
        ssize_t written = stdin_feed_write(&guest.stdin, guest.program.stdin_fd);
        if (written < 0) close_stdin();
        if (written <= 0) return;
        grant_stdin((uint32_t)written);
    }
    if (guest.stdin.is_ending && guest.stdin.length == 0) close_stdin();
}

static void take_stdin(const struct frame *frame) {
    if (guest.program.stdin_fd < 0) return;
    stdin_feed_add(&guest.stdin, frame->payload, frame->length);
    write_stdin();
}

static void act(enum request_action action, const struct frame *frame) {
    switch (action) {
    case ACTION_NONE:
        return;
    case ACTION_SET_CLOCK:
        check_start(system_set_clock(guest.request.clock_ns), STAGE_CLOCK_OR_ENTROPY);
        return;
    case ACTION_ADD_ENTROPY:
        check_start(system_add_entropy(frame->payload, frame->length), STAGE_CLOCK_OR_ENTROPY);
        return;
    case ACTION_OPEN_FILE:
        check_stage(input_files_open(&guest.files, &guest.request));
        return;
    case ACTION_WRITE_FILE:
        check_stage(input_files_write(&guest.files, &guest.request, frame->payload, frame->length));
        return;
    case ACTION_START:
        start_program();
        return;
    case ACTION_HOLD:
        hold_program();
        return;
    case ACTION_REHEARSE:
        rehearse_program();
        return;
    case ACTION_RELEASE:
        release_program();
        return;
    case ACTION_STDIN:
        take_stdin(frame);
        return;
    case ACTION_STDIN_END:
        guest.stdin.is_ending = true;
        write_stdin();
        return;
    case ACTION_SIGNAL:
        program_signal(&guest.program, (int)guest.request.signal);
        return;
    case ACTION_KILL:
        program_kill(&guest.program);
        return;
    case ACTION_REFUSE:
        fail("the host broke the rules of the guest link");
    }
}

/*
 * A connection over vsock ends when its machine is frozen, which the guest learns when it goes on as a clone. Between
 * two descriptions that is what has happened; at any other time the host is gone.
 */
static void go_on_or_end(void) {
    bool frozen = guest.listener >= 0 && request_is_between(&guest.request) && link_is_at_rest(&guest.link);
    if (!frozen) system_power_off();
    close(guest.link.fd);
    int fd = vsock_accept(guest.listener);
    check(fd, "accept the guest link again");
    link_rejoin(&guest.link, fd);
}

static void receive(void) {
    enum link_status status = link_fill(&guest.link);
    if (status == LINK_CLOSED) {
        go_on_or_end();
        return;
    }
    struct frame frame;
    while (link_next(&guest.link, &frame, &status)) act(request_apply(&guest.request, &frame), &frame);
    if (status == LINK_BROKEN_RULES) fail("the host sent a malformed frame");
}

/* Passes on one chunk; closes the pipe at its end. False: nothing more to read now. */
static bool forward_output(int *fd, uint16_t type) {
    static uint8_t buffer[FRAME_MAX_PAYLOAD];
    ssize_t got = read(*fd, buffer, sizeof(buffer));
    if (got > 0) {
        check_link(link_send(&guest.link, type, buffer, (uint32_t)got));
        return true;
    }
    if (got < 0 && errno == EINTR) return true;
    if (got == 0 || errno != EAGAIN) {
        close(*fd);
        *fd = -1;
    }
    return false;
}

static void drain_output(int *fd, uint16_t type) {
    while (*fd >= 0 && forward_output(fd, type)) continue;
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void send_exited(const struct program_usage *usage) {
    uint8_t payload[44];
    int status = guest.program.wait_status;
    put_u32(payload, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
    put_u32(payload + 4, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
    put_u32(payload + 8, usage->out_of_memory ? 1 : 0);
    put_u64(payload + 12, usage->max_rss_kb);
    put_u64(payload + 20, usage->user_us);
    put_u64(payload + 28, usage->system_us);
    put_u64(payload + 36, system_uptime_ns());
    check_link(link_send(&guest.link, FRAME_EXITED, payload, sizeof(payload)));
}

static void end_program(void) {
    struct program_usage usage;
    program_finish(&guest.program, &usage);
    /* Nothing can write any more: what is in the pipes is all there will be. */
    drain_output(&guest.program.stdout_fd, FRAME_STDOUT);
    drain_output(&guest.program.stderr_fd, FRAME_STDERR);
    send_exited(&usage);
    guest.state = ENDED;
}

static void send_workspace(void) {
    check_link(workspace_send(&guest.link, guest.files.workspace, guest.request.output_files, guest.request.output_bytes));
}

/* Nothing of it is left for the program that comes. */
static void end_rehearsal(void) {
    send_workspace();
    check_start(workspace_empty(guest.files.workspace), STAGE_WORKSPACE);
    program_forget(&guest.program);
    check_stage(input_files_prepare_program_file(&guest.files));
    stdin_feed_init(&guest.stdin);
    request_renew(&guest.request);
    guest.is_rehearsing = false;
    guest.state = RECEIVING;
    system_settle();
    check_link(link_send(&guest.link, FRAME_REHEARSED, NULL, 0));
}

static void reap(void) {
    struct signalfd_siginfo ignored;
    while (read(guest.child_events, &ignored, sizeof(ignored)) > 0) continue;
    if (program_reap(&guest.program)) end_program();
    if (guest.state == ENDED && guest.is_rehearsing) end_rehearsal();
}

static void run_event_loop(void) {
    while (guest.state != ENDED) {
        bool room = link_has_room(&guest.link);
        struct pollfd fds[] = {
            {.fd = guest.link.fd, .events = (short)(POLLIN | (link_has_output(&guest.link) ? POLLOUT : 0))},
            {.fd = guest.child_events, .events = POLLIN},
            {.fd = room ? guest.program.stdout_fd : -1, .events = POLLIN},
            {.fd = room ? guest.program.stderr_fd : -1, .events = POLLIN},
            {.fd = room && guest.stdin.length > 0 ? guest.program.stdin_fd : -1, .events = POLLOUT},
        };
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0) {
            if (errno == EINTR) continue;
            fail("poll");
        }
        if (fds[0].revents != 0) receive();
        if (fds[2].revents != 0) forward_output(&guest.program.stdout_fd, FRAME_STDOUT);
        if (fds[3].revents != 0 && link_has_room(&guest.link)) forward_output(&guest.program.stderr_fd, FRAME_STDERR);
        if (fds[4].revents != 0) write_stdin();
        if (fds[1].revents != 0 && guest.state == RUNNING) reap();
        check_link(link_flush(&guest.link));
    }
}

static int open_child_events(void) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &child, NULL) < 0) return -1;
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int open_link(enum link_transport transport) {
    if (transport == TRANSPORT_SERIAL_PORT) return system_open_serial_port();
    guest.listener = vsock_listen(VSOCK_LINK_PORT);
    return guest.listener < 0 ? -1 : vsock_accept(guest.listener);
}

int main(void) {
    if (getpid() != 1) {
        fputs("glasshouse guest init runs as PID 1 of a virtual machine only\n", stderr);
        return 1;
    }
    mkdir("/dev", 0755);
    check(mount("devtmpfs", "/dev", "devtmpfs", 0, NULL), "mount /dev");
    system_use_console();
    enum link_transport transport = system_link_transport();
    guest.listener = -1;
    check(system_load_modules(transport), "load modules");
    check(guest.link.fd = open_link(transport), "open the guest link");
    link_init(&guest.link, guest.link.fd);
    request_init(&guest.request);
    program_init(&guest.program);
    input_files_init(&guest.files);
    check(guest.child_events = open_child_events(), "signalfd");
    check(system_mount_root(), "mount the root");
    check(system_give_way(), "sched_setscheduler");

    send_hello();
    run_event_loop();
    send_workspace();
    wait_for_the_end();
}
