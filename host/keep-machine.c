/*
 * Starts a virtual machine monitor in a directory of its own, with names there for files that were opened elsewhere,
 * and sees to it that nothing of it outlives whoever asked for it: what Node.js cannot do itself.
 *
 * Usage: keep-machine PARENT DIRECTORY OWNER exec|namespaces [small-pages] [FD:own|share|view:NAME|pipe:NAME]...
 *            -- COMMAND [ARGUMENT]...
 *
 * PARENT is the process that must live on. `own` gives OWNER the very file behind the descriptor, to write to;
 * `share` lets it read the file, or a copy where the directory is on another file system. `view` lets it read the file
 * and leaves no trace in it: a link would change the times by which others know that nobody has touched it. `pipe`
 * makes a pipe with a name for OWNER (fifo(7)).
 * `exec`: the command takes our place; a view is a symbolic link. `namespaces`: it runs below the first process of a
 * new PID namespace, without network, and a view is mounted there; that process stays root, so that the kernel tells
 * it of our end, and its own end ends everything in the namespace. `small-pages`: the kernel gives the command no huge
 * pages that it did not ask for: of a stack of 2 MiB that is hardly used, one such page is all of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core.h"
#include "io-uring.h"
#include "parent.h"

#define EXIT_FAILED 125
#define COPY_CHUNK (1 << 20)
#define MAX_VIEWS 8
#define PIPE_ORDER "pipe:"

/* Files that are mounted once there is a mount namespace to do it in; detached mounts until then. */
struct views {
    int count;
    struct {
        int tree;
        const char *name;
    } of[MAX_VIEWS];
};

static int fail(const char *what) {
    fprintf(stderr, "keep-machine: %s: %s\n", what, strerror(errno));
    return EXIT_FAILED;
}

static bool parse_number(const char *text, const char *end, long long limit, long long *number) {
    char *stopped;
    errno = 0;
    *number = strtoll(text, &stopped, 10);
    return errno == 0 && stopped != text && (end == NULL ? *stopped == '\0' : stopped == end) && *number >= 0 &&
           *number <= limit;
}

static int copy_file(int from, int directory, const char *name) {
    struct stat status;
    off_t offset = 0;
    int to = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (to < 0 || fstat(from, &status) < 0 || ftruncate(to, status.st_size) < 0) return -1;
    /* Holes stay holes: memory of a guest is mostly empty. */
    while ((offset = lseek(from, offset, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, offset, SEEK_HOLE);
        if (end < 0 || lseek(to, offset, SEEK_SET) < 0) return -1;
        while (offset < end) {
            size_t chunk = end - offset > COPY_CHUNK ? COPY_CHUNK : (size_t)(end - offset);
            if (sendfile(to, from, &offset, chunk) <= 0) return -1;
        }
    }
    return errno == ENXIO ? close(to) : -1;
}

/* For a command that sees the same files as we do. */
static int link_view(const char *source, int directory, const char *name) {
    char path[PATH_MAX];
    ssize_t length = readlink(source, path, sizeof(path) - 1);
    if (length < 0) return -1;
    path[length] = '\0';
    return symlinkat(path, directory, name);
}

static int keep_view(int fd, const char *name, struct views *views) {
    if (views->count == MAX_VIEWS) {
        errno = E2BIG;
        return -1;
    }
    int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return -1;
    views->of[views->count].tree = tree;
    views->of[views->count++].name = name;
    return 0;
}

/* In the new mount namespace, from which nothing spreads into the one that it was copied from. */
static int mount_views(const char *path, const struct views *views) {
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0) return -1;
    int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return -1;
    for (int i = 0; i < views->count; i++) {
        int tree = views->of[i].tree;
        int place = openat(directory, views->of[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (place < 0 || close(place) < 0) return -1;
        if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) return -1;
        if (move_mount(tree, "", directory, views->of[i].name, MOVE_MOUNT_F_EMPTY_PATH) < 0) return -1;
    }
    return fchdir(directory) < 0 ? -1 : close(directory);
}

static int make_pipe(int directory, const char *name, uid_t owner) {
    if (mkfifoat(directory, name, 0600) < 0) return -1;
    return fchownat(directory, name, owner, owner, AT_SYMLINK_NOFOLLOW);
}

static int give(int directory, char *order, uid_t owner, struct views *views) {
    if (strncmp(order, PIPE_ORDER, sizeof(PIPE_ORDER) - 1) == 0)
        return make_pipe(directory, order + sizeof(PIPE_ORDER) - 1, owner);
    char *how = strchr(order, ':');
    char *name = how == NULL ? NULL : strchr(how + 1, ':');
    char source[32];
    long long fd;
    if (name == NULL || !parse_number(order, how, 1 << 20, &fd)) {
        errno = EINVAL;
        return -1;
    }
    *name++ = '\0';
    snprintf(source, sizeof(source), "/proc/self/fd/%lld", fd);
    if (strcmp(how + 1, "view") == 0) {
        int given = views == NULL ? link_view(source, directory, name) : keep_view((int)fd, name, views);
        return given < 0 ? -1 : close((int)fd);
    }
    bool owned = strcmp(how + 1, "own") == 0;
    if (owned && fchown((int)fd, owner, owner) < 0) return -1;
    if (linkat(AT_FDCWD, source, directory, name, AT_SYMLINK_FOLLOW) == 0) return close((int)fd);
    if (owned || errno != EXDEV) return -1;
    return copy_file((int)fd, directory, name) < 0 ? -1 : close((int)fd);
}

/* As a shell would say it. */
static int code_of(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return fail("waitpid");
    }
    return code_of(status);
}

/* The first process of the namespace. `alive` is at its end when our parent, which has no number here, has ended. */
static int run_first(char **command, int alive) {
    struct pollfd parent = {.fd = alive};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return fail("prctl");
    if (poll(&parent, 1, 0) != 0) return EXIT_FAILED;
    pid_t child = fork();
    if (child < 0) return fail("fork");
    if (child == 0) {
        execv(command[0], command);
        _exit(fail(command[0]));
    }
    return wait_for(child);
}

static int run_in_namespaces(char **command, const char *directory, const struct views *views) {
    int alive[2];
    if (pipe2(alive, O_CLOEXEC) < 0) return fail("pipe");
    if (unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) < 0) return fail("unshare");
    if (mount_views(directory, views) < 0) return fail("the views");
    pid_t first = fork();
    if (first < 0) return fail("fork");
    if (first == 0) {
        close(alive[1]);
        _exit(run_first(command, alive[0]));
    }
    return wait_for(first);
}

int main(int count, char **arguments) {
    long long parent;
    long long owner;
    int next = 5;
    if (count < 7 || !parse_number(arguments[1], NULL, 1 << 30, &parent) ||
        !parse_number(arguments[3], NULL, 0xfffffffeLL, &owner)) {
        fputs("usage: keep-machine PARENT DIRECTORY OWNER exec|namespaces [small-pages]"
              " [FD:own|share|view:NAME|pipe:NAME]... -- COMMAND...\n",
              stderr);
        return EXIT_FAILED;
    }
    struct views views = {.count = 0};
    bool contained = strcmp(arguments[4], "namespaces") == 0;
    if (parent_follow((pid_t)parent) < 0) return fail("the parent");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail("no new privileges");
    if (core_refuse() < 0) return fail("no core");
    if (io_uring_refuse() < 0) return fail("no io_uring");
    int directory = open(arguments[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return fail(arguments[2]);
    if (strcmp(arguments[next], "small-pages") == 0) {
        if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0) return fail("small pages");
        next++;
    }
    for (; next < count && strcmp(arguments[next], "--") != 0; next++) {
        if (give(directory, arguments[next], (uid_t)owner, contained ? &views : NULL) < 0) return fail(arguments[next]);
    }
    /* Whatever else whoever started us had open is not for the command. */
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0) return fail("close_range");
    char **command = arguments + next + 1;
    if (next + 1 >= count) {
        errno = EINVAL;
        return fail("no command");
    }
    if (fchdir(directory) < 0) return fail(arguments[2]);
    if (contained) return run_in_namespaces(command, arguments[2], &views);
    execv(command[0], command);
    return fail(command[0]);
}
