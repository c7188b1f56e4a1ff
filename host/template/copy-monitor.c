/*
 * Has a template make a copy of itself, and stands for the copy from then on: it ends as the copy ends, and the copy
 * ends when it does.
 *
 * Usage: copy-monitor PARENT SOCKET OWNER REPORT PAGES FD...
 *
 * PARENT is the process that must live on; SOCKET is where the template listens; OWNER is the user that the copy
 * becomes (0: it stays who the template is). PAGES is a file of addresses (64 bits each, in the machine's order), one in
 * each page of the copy's memory that it is to have as its own from the start. Each FD is the copy's in place of what
 * the template has inherited at that number. The copy's process id goes to the descriptor REPORT, in decimal, when it
 * runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "../core.h"
#include "../parent.h"
#include "protocol.h"

#define EXIT_FAILED 125
#define ARGUMENTS_BEFORE_FDS 6
/* Each call takes as many (IOV_MAX). */
#define PAGES_AT_ONCE 1024

static int fail(const char *what) {
    fprintf(stderr, "copy-monitor: %s: %s\n", what, strerror(errno));
    return EXIT_FAILED;
}

static bool parse_number(const char *text, int *number) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    *number = (int)value;
    return errno == 0 && end != text && *end == '\0' && value >= 0 && value <= INT_MAX;
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : fd;
}

static int send_request(int connection, struct copy_request *request) {
    char control[CMSG_SPACE(sizeof(int) * COPIED_FDS_MAX)] = {0};
    size_t fds_bytes = sizeof(int) * request->fd_count;
    struct iovec part = {.iov_base = request, .iov_len = sizeof(*request)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(fds_bytes)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds_bytes);
    memcpy(CMSG_DATA(header), request->replaces, fds_bytes);
    return sendmsg(connection, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/*
 * Writes to each page what is there: the kernel copies it now, and not while somebody waits for an answer. The copy
 * stands still. Where we may not do it, it costs time later and nothing else.
 */
static void make_own(pid_t copy, int pages) {
    static uint64_t addresses[PAGES_AT_ONCE];
    static struct iovec there[PAGES_AT_ONCE];
    static char bytes[PAGES_AT_ONCE];
    off_t offset = 0;
    for (ssize_t got; (got = pread(pages, addresses, sizeof(addresses), offset)) > 0; offset += got) {
        size_t count = (size_t)got / sizeof(addresses[0]);
        for (size_t i = 0; i < count; i++) there[i] = (struct iovec){(void *)(uintptr_t)addresses[i], 1};
        const struct iovec here = {bytes, count};
        if (process_vm_readv(copy, &here, 1, there, count, 0) != (ssize_t)count) return;
        if (process_vm_writev(copy, &here, 1, there, count, 0) != (ssize_t)count) return;
    }
}

/* The copy alone holds them from here: whoever reads from them learns of its end. */
static void give_away(const struct copy_request *request) {
    for (uint32_t i = 0; i < request->fd_count; i++) close(request->replaces[i]);
}

static int end_by(int number) {
    core_refuse();
    signal(number, SIG_DFL);
    raise(number);
    return EXIT_FAILED;
}

/* The copy is no longer to be believed once it runs; all that it can do here is to end us as it likes. */
static int stand_for_copy(int connection, const struct copy_request *request, int report, int pages) {
    struct copy_answer answer;
    bool runs = false;
    while (recv(connection, &answer, sizeof(answer), 0) == (ssize_t)sizeof(answer)) {
        if (answer.event == COPY_EXITED && runs) return answer.value;
        if (answer.event == COPY_KILLED && runs) return end_by(answer.value);
        if (answer.event == COPY_FAILED && !runs) {
            errno = answer.value;
            return fail("make a copy");
        }
        if (answer.event != COPY_RUNS || runs) break;
        make_own(answer.value, pages);
        if (dprintf(report, "%d\n", answer.value) < 0) return EXIT_FAILED;
        close(report);
        give_away(request);
        runs = true;
    }
    return EXIT_FAILED;
}

int main(int argc, char **argv) {
    struct copy_request request = {0};
    int parent, owner, report, pages;
    int fd_count = argc - ARGUMENTS_BEFORE_FDS;
    bool valid = fd_count > 0 && fd_count <= COPIED_FDS_MAX && parse_number(argv[1], &parent) &&
                 parse_number(argv[3], &owner) && parse_number(argv[4], &report) &&
                 parse_number(argv[5], &pages);
    for (int i = 0; valid && i < fd_count; i++) valid = parse_number(argv[ARGUMENTS_BEFORE_FDS + i], &request.replaces[i]);
    if (!valid) {
        fputs("usage: copy-monitor PARENT SOCKET OWNER REPORT PAGES FD...\n", stderr);
        return EXIT_FAILED;
    }
    request.owner = (uint32_t)owner;
    request.fd_count = (uint32_t)fd_count;
    if (parent_follow(parent) < 0) return fail("follow the parent");
    int connection = connect_to(argv[2]);
    if (connection < 0) return fail("reach the template");
    if (send_request(connection, &request) < 0) return fail("ask for a copy");
    return stand_for_copy(connection, &request, report, pages);
}
