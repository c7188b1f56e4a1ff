#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "held.h"
#include "system.h"

#define CGROUP_ROOT "/cgroup"
#define LAST_CAPABILITY 63
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

void program_init(struct program *program) {
    *program = (struct program){.cgroup = -1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
}

/* The hierarchy is mounted once; every program gets a directory in it. */
static int open_cgroup_root(void) {
    if (mkdir(CGROUP_ROOT, 0700) < 0) return errno == EEXIST ? open(CGROUP_ROOT, DIRECTORY_FLAGS) : -1;
    if (mount("cgroup2", CGROUP_ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) return -1;
    int root = open(CGROUP_ROOT, DIRECTORY_FLAGS);
    if (root < 0 || system_write_text(root, "cgroup.subtree_control", "+memory +pids") == 0) return root;
    int saved = errno;
    close(root);
    errno = saved;
    return -1;
}

static int make_cgroup(struct program *program) {
    static unsigned int count;
    char name[32];
    snprintf(name, sizeof(name), "program-%u", count++);
    int root = open_cgroup_root();
    if (root < 0) return -1;
    if (mkdirat(root, name, 0700) == 0) program->cgroup = openat(root, name, DIRECTORY_FLAGS);
    int saved = errno;
    close(root);
    errno = saved;
    return program->cgroup < 0 ? -1 : 0;
}

static int set_limit(const struct program *program, const char *file, uint64_t value) {
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return system_write_text(program->cgroup, file, text);
}

static int open_cgroup(struct program *program) {
    if (make_cgroup(program) < 0) return -1;
    /* One process over the limit ends the whole program: half a program gives wrong answers. */
    return system_write_text(program->cgroup, "memory.oom.group", "1");
}

/* What a held program was given already is not written again: its release is what somebody waits for. */
static int set_limits(struct program *program, const struct request *request) {
    if (program->cgroup < 0 && open_cgroup(program) < 0) return -1;
    if (program->memory_bytes != request->memory_bytes) {
        if (set_limit(program, "memory.max", request->memory_bytes) < 0) return -1;
        program->memory_bytes = request->memory_bytes;
    }
    if (program->processes != request->processes) {
        if (set_limit(program, "pids.max", request->processes) < 0) return -1;
        program->processes = request->processes;
    }
    return 0;
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

/* `inherited`: what becomes descriptor 0, 1 and 2. */
static int enter_sandbox(int cgroup, const int inherited[3]) {
    if (system_write_text(cgroup, "cgroup.procs", "0") < 0) return -1;
    for (int i = 0; i < 3; i++) {
        if (dup2(inherited[i], i) < 0) return -1;
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
static _Noreturn void run_child(const struct program *program, const struct request *request,
                                const int inherited[3], int report) {
    int failure[2] = {STAGE_PROCESS, 0};
    reset_signals();
    if (enter_sandbox(program->cgroup, inherited) == 0) {
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

static int start(struct program *program, const struct request *request) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
    int stage = STAGE_PROCESS;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ||
        pipe2(report, O_CLOEXEC) < 0)
        goto failed;

    const int inherited[3] = {in[0], out[1], err[1]};
    pid_t pid = fork();
    if (pid < 0) goto failed;
    if (pid == 0) run_child(program, request, inherited, report[1]);

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

int program_start(struct program *program, const struct request *request) {
    if (set_limits(program, request) < 0) return STAGE_LIMITS;
    return start(program, request);
}

/* A number of one of the cgroup's files of "name number" lines; 0 when there is none. */
static uint64_t read_cgroup_number(int cgroup, const char *file, const char *name) {
    char text[1024];
    int fd = openat(cgroup, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = '\0';
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10);
}

static void read_cpu_time(int cgroup, uint64_t *user_us, uint64_t *system_us) {
    *user_us = read_cgroup_number(cgroup, "cpu.stat", "user_usec ");
    *system_us = read_cgroup_number(cgroup, "cpu.stat", "system_usec ");
}

int program_hold(struct program *program, const struct request *request) {
    if (set_limits(program, request) < 0) return STAGE_LIMITS;
    /* Held programs are laid out alike, so that what an emulator learns from one is true of the next. */
    if (system_randomize_layout(false) < 0) return STAGE_PROCESS;
    int stage = start(program, request);
    if (stage == 0 && system_randomize_layout(true) < 0) stage = STAGE_PROCESS;
    if (stage == 0 && held_await_ready(program->stdout_fd) < 0) stage = STAGE_PROCESS;
    /* It uses no more until its release. */
    if (stage == 0) read_cpu_time(program->cgroup, &program->user_us_before, &program->system_us_before);
    return stage;
}

int program_release(struct program *program, const struct request *request) {
    if (set_limits(program, request) < 0) return STAGE_LIMITS;
    return held_release(program->stdin_fd, request) < 0 ? STAGE_PROCESS : 0;
}

void program_signal(const struct program *program, int signal) {
    /* The program leads its own session and process group: a signal reaches its whole job, as from a terminal. */
    if (program->pid > 0) kill(-program->pid, signal);
}

void program_kill(const struct program *program) {
    if (program->cgroup >= 0) system_write_text(program->cgroup, "cgroup.kill", "1");
}

/* Takes note of one process that has ended. */
static bool reap_one(struct program *program, int options) {
    int status;
    struct rusage used;
    pid_t pid = wait4(-1, &status, options, &used);
    if (pid <= 0) return false;
    if ((uint64_t)used.ru_maxrss > program->max_rss_kb) program->max_rss_kb = (uint64_t)used.ru_maxrss;
    if (pid == program->pid) {
        program->wait_status = status;
        program->pid = 0;
    }
    return true;
}

bool program_reap(struct program *program) {
    while (reap_one(program, WNOHANG)) continue;
    return program->pid == 0;
}

void program_finish(struct program *program, struct program_usage *usage) {
    program_kill(program);
    /* Orphans are ours to reap; a process leaves its cgroup before it can be waited for. */
    while (read_cgroup_number(program->cgroup, "cgroup.events", "populated ") > 0 && reap_one(program, 0)) continue;
    while (reap_one(program, WNOHANG)) continue;

    usage->max_rss_kb = program->max_rss_kb;
    read_cpu_time(program->cgroup, &usage->user_us, &usage->system_us);
    usage->user_us -= program->user_us_before;
    usage->system_us -= program->system_us_before;
    usage->out_of_memory = read_cgroup_number(program->cgroup, "memory.events", "oom_kill ") > 0;
    if (program->stdin_fd >= 0) close(program->stdin_fd);
    program->stdin_fd = -1;
}

void program_forget(struct program *program) {
    if (program->stdout_fd >= 0) close(program->stdout_fd);
    if (program->stderr_fd >= 0) close(program->stderr_fd);
    if (program->cgroup >= 0) close(program->cgroup);
    program_init(program);
}
