#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system.h"

#define CGROUP_ROOT "/cgroup"
#define LAST_CAPABILITY 63

void program_init(struct program *program) {
    *program = (struct program){.cgroup = -1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
}

int program_set_limits(struct program *program, uint64_t memory_bytes, uint32_t processes) {
    char text[32];
    if (mkdir(CGROUP_ROOT, 0700) < 0 && errno != EEXIST) return -1;
    if (mount("cgroup2", CGROUP_ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) return -1;
    int root = open(CGROUP_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return -1;
    int result = system_write_text(root, "cgroup.subtree_control", "+memory +pids");
    if (result == 0) result = mkdirat(root, "program", 0700);
    if (result == 0) {
        program->cgroup = openat(root, "program", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        result = program->cgroup < 0 ? -1 : 0;
    }
    int saved = errno;
    close(root);
    errno = saved;
    if (result < 0) return -1;

    snprintf(text, sizeof(text), "%llu", (unsigned long long)memory_bytes);
    if (system_write_text(program->cgroup, "memory.max", text) < 0) return -1;
    /* One process over the limit ends the whole program: half a program gives wrong answers. */
    if (system_write_text(program->cgroup, "memory.oom.group", "1") < 0) return -1;
    snprintf(text, sizeof(text), "%u", processes);
    return system_write_text(program->cgroup, "pids.max", text);
}

static int drop_privileges(void) {
    for (int capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL) return -1;
    }
    if (setgroups(0, NULL) < 0) return -1;
    if (setresgid(SANDBOX_GID, SANDBOX_GID, SANDBOX_GID) < 0) return -1;
    if (setresuid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0) return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int set_resource_limits(void) {
    struct rlimit no_core = {0, 0};
    struct rlimit files = {1024, 4096};
    if (setrlimit(RLIMIT_CORE, &no_core) < 0) return -1;
    return setrlimit(RLIMIT_NOFILE, &files);
}

static int enter_sandbox(int cgroup, const int stdio[3]) {
    if (system_write_text(cgroup, "cgroup.procs", "0") < 0) return -1;
    for (int i = 0; i < 3; i++) {
        if (dup2(stdio[i], i) < 0) return -1;
    }
    if (setsid() < 0) return -1;
    if (chroot(ROOT_DIRECTORY) < 0 || chdir("/workspace") < 0) return -1;
    if (set_resource_limits() < 0) return -1;
    umask(022);
    return drop_privileges();
}

static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
}

/* Runs in the child; the parent learns of a failure through `report`, which exec closes. */
static _Noreturn void run_child(const struct program *program, const struct request *request, const int stdio[3],
                                int report) {
    int failure[2] = {STAGE_PROCESS, 0};
    reset_signals();
    if (enter_sandbox(program->cgroup, stdio) == 0) {
        static char *no_environment[] = {NULL};
        environ = request->environment.count > 0 ? request->environment.items : no_environment;
        failure[0] = STAGE_EXEC;
        execvp(request->arguments.items[0], request->arguments.items);
    }
    failure[1] = errno;
    ssize_t ignored = write(report, failure, sizeof(failure));
    (void)ignored; /* a lost report reads as an end without exec, which the parent also handles */
    _exit(127);
}

static void close_pair(int pair[2]) {
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) close(pair[i]);
    }
}

/* Returns 0 when exec happened, else the stage that failed with errno set. */
static int read_report(int report, pid_t pid) {
    int failure[2];
    ssize_t got;
    do {
        got = read(report, failure, sizeof(failure));
    } while (got < 0 && errno == EINTR);
    if (got == 0) return 0;
    waitpid(pid, NULL, 0);
    if (got != (ssize_t)sizeof(failure)) {
        errno = EIO;
        return STAGE_PROCESS;
    }
    errno = failure[1];
    return failure[0];
}

int program_start(struct program *program, const struct request *request) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
    int stage = STAGE_PROCESS;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ||
        pipe2(report, O_CLOEXEC) < 0)
        goto failed;

    const int stdio[3] = {in[0], out[1], err[1]};
    pid_t pid = fork();
    if (pid < 0) goto failed;
    if (pid == 0) run_child(program, request, stdio, report[1]);

    close(report[1]);
    report[1] = -1;
    stage = read_report(report[0], pid);
    if (stage != 0) goto failed;

    close(report[0]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    program->pid = pid;
    program->stdin_fd = in[1];
    program->stdout_fd = out[0];
    program->stderr_fd = err[0];
    return 0;

failed:;
    int saved = errno;
    close_pair(in);
    close_pair(out);
    close_pair(err);
    close_pair(report);
    errno = saved;
    return stage;
}

void program_signal(const struct program *program, int signal) {
    /* The program leads its own session and process group: a signal reaches its whole job, as from a terminal. */
    if (program->pid > 0) kill(-program->pid, signal);
}

void program_kill(const struct program *program) {
    if (program->cgroup >= 0) system_write_text(program->cgroup, "cgroup.kill", "1");
}

bool program_reap(struct program *program) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != program->pid) continue;
        program->wait_status = status;
        program->pid = 0;
        return true;
    }
    return false;
}

static bool cgroup_saw_oom_kill(int cgroup) {
    char text[512];
    int fd = openat(cgroup, "memory.events", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0) return false;
    text[length] = '\0';
    const char *line = strstr(text, "oom_kill ");
    return line != NULL && line[sizeof("oom_kill ") - 1] != '0';
}

static uint64_t microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

void program_finish(struct program *program, struct program_usage *usage) {
    program_kill(program);
    /* Orphans are ours to reap; cgroup.kill reaches forks in flight, so this ends. */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;

    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    usage->max_rss_kb = (uint64_t)used.ru_maxrss;
    usage->user_us = microseconds(used.ru_utime);
    usage->system_us = microseconds(used.ru_stime);
    usage->out_of_memory = cgroup_saw_oom_kill(program->cgroup);
    if (program->stdin_fd >= 0) close(program->stdin_fd);
    program->stdin_fd = -1;
}
