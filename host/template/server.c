/*
 * A library that is loaded into a monitor (LD_PRELOAD) and makes it a template: a process that copies itself when
 * asked. GLASSHOUSE_TEMPLATE_SOCKET: where it listens. GLASSHOUSE_TEMPLATE_PARENT: the process with which it ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../parent.h"
#include "confine.h"
#include "descriptors.h"
#include "protocol.h"
#include "threads.h"

#define EXIT_FAILED 125
#define COPIES_MAX 256
#define BACKLOG 64

struct copy {
    pid_t pid;
    /* Readable when it has ended. */
    int pidfd;
    int connection;
    bool was_killed;
};

static struct copy copies[COPIES_MAX];
static int copy_count;
static int listener = -1;

/* QEMU asks that its guest's memory be left out of copies, which knows nothing of copies like ours. */
__attribute__((visibility("default"))) int madvise(void *address, size_t length, int advice) {
    if (advice == MADV_DONTFORK) return 0;
    return (int)syscall(SYS_madvise, address, length, advice);
}

static void answer(int connection, enum copy_event event, int value) {
    struct copy_answer message = {.event = event, .value = value};
    /* Whoever asked may have gone; then its copy sees that too, and ends. */
    (void)!send(connection, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void close_all(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++) close(fds[i]);
}

/* -1 with errno. The descriptors are then the caller's. */
static int receive_request(int connection, struct copy_request *request, int fds[COPIED_FDS_MAX]) {
    char control[CMSG_SPACE(sizeof(int) * COPIED_FDS_MAX)];
    struct iovec part = {.iov_base = request, .iov_len = sizeof(*request)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t count = header == NULL ? 0 : (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (header != NULL) memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    if ((size_t)got == sizeof(*request) && request->fd_count == count) return 0;
    close_all(fds, count);
    errno = EPROTO;
    return -1;
}

/* All that its first thread does from then on: it ends the copy when whoever asked for it has gone. */
static _Noreturn void watch(int connection) {
    struct pollfd asker = {.fd = connection, .events = POLLIN};
    while (poll(&asker, 1, -1) < 0) continue;
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

static void forget_other_copies(void) {
    close(listener);
    for (int i = 0; i < copy_count; i++) {
        close(copies[i].connection);
        close(copies[i].pidfd);
    }
}

static _Noreturn void become_copy(int connection, const struct copy_request *request, const int *fds) {
    forget_other_copies();
    int failed = descriptors_replace(request->replaces, fds, (int)request->fd_count);
    close_all(fds, request->fd_count);
    if (failed < 0 || confine(request->owner) < 0 || threads_revive() < 0) {
        answer(connection, COPY_FAILED, errno);
        _exit(EXIT_FAILED);
    }
    answer(connection, COPY_RUNS, getpid());
    watch(connection);
}

/* Takes the connection over. */
static int remember_copy(pid_t pid, int connection) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return -1;
    }
    copies[copy_count++] = (struct copy){.pid = pid, .pidfd = pidfd, .connection = connection};
    return 0;
}

static int make_copy(int connection, const struct copy_request *request, const int *fds) {
    if (copy_count == COPIES_MAX) {
        errno = EAGAIN;
        return -1;
    }
    pid_t pid = threads_fork();
    if (pid == 0) become_copy(connection, request, fds);
    return pid < 0 ? -1 : remember_copy(pid, connection);
}

static void serve_request(void) {
    struct copy_request request;
    int fds[COPIED_FDS_MAX];
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) return;
    if (receive_request(connection, &request, fds) < 0) {
        close(connection);
        return;
    }
    if (make_copy(connection, &request, fds) < 0) {
        answer(connection, COPY_FAILED, errno);
        close(connection);
    }
    close_all(fds, request.fd_count);
}

static void report_end(int index) {
    siginfo_t info = {0};
    struct copy *copy = &copies[index];
    if (waitid(P_PID, (id_t)copy->pid, &info, WEXITED) < 0) return;
    answer(copy->connection, info.si_code == CLD_EXITED ? COPY_EXITED : COPY_KILLED, info.si_status);
    close(copy->pidfd);
    close(copy->connection);
    *copy = copies[--copy_count];
}

/* It sees the same, unless somebody has stopped it. */
static void kill_copy(int index) {
    copies[index].was_killed = true;
    syscall(SYS_pidfd_send_signal, copies[index].pidfd, SIGKILL, NULL, 0);
}

static void *serve(void *unused) {
    for (;;) {
        struct pollfd waiting[2 * COPIES_MAX + 1];
        int count = copy_count;
        for (int i = 0; i < count; i++) {
            waiting[2 * i] = (struct pollfd){.fd = copies[i].pidfd, .events = POLLIN};
            /* Not its contents: the end of whoever asked for the copy. */
            waiting[2 * i + 1] = (struct pollfd){.fd = copies[i].was_killed ? -1 : copies[i].connection};
        }
        waiting[2 * count] = (struct pollfd){.fd = listener, .events = POLLIN};
        if (poll(waiting, 2 * (nfds_t)count + 1, -1) < 0) continue;
        /* From the last one down: the last takes the place of one that is forgotten. */
        for (int i = count - 1; i >= 0; i--) {
            if (waiting[2 * i].revents != 0) report_end(i);
            else if (waiting[2 * i + 1].revents != 0) kill_copy(i);
        }
        if (waiting[2 * count].revents != 0) serve_request();
    }
    return unused;
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0) return -1;
    return listen(listener, BACKLOG);
}

/* Its thread takes no signal: what is meant for the monitor must reach the monitor. */
static int start_serving(void) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errno == 0 ? 0 : -1;
}

__attribute__((constructor)) static void become_template(void) {
    const char *path = getenv("GLASSHOUSE_TEMPLATE_SOCKET");
    const char *parent = getenv("GLASSHOUSE_TEMPLATE_PARENT");
    if (path == NULL || parent == NULL) return;
    descriptors_remember();
    if (parent_follow((pid_t)atoi(parent)) == 0 && threads_prepare() == 0 && listen_at(path) == 0 && start_serving() == 0) return;
    perror("monitor template");
    _exit(EXIT_FAILED);
}
