#define _GNU_SOURCE
#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool fail(struct failure *failure, enum stage stage, int error, const char *reason, const char *detail) {
    failure->stage = stage;
    failure->error = error < 0 ? -error : error;
    failure->reason = reason;
    snprintf(failure->detail, sizeof(failure->detail), "%s", detail);
    return false;
}

static bool file_contains(const char *path, const char *text) {
    char content[256] = {0};
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    size_t got = fread(content, 1, sizeof(content) - 1, file);
    fclose(file);
    return got > 0 && strstr(content, text) != NULL;
}

static bool kernel_is_too_old(void) {
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
    return major < 5 || (major == 5 && minor < 8);
}

static bool load_failed(struct failure *failure, int error) {
    if (file_contains("/sys/kernel/security/lockdown", "[confidentiality]"))
        return fail(failure, STAGE_LOAD, error, "lockdown", "the kernel is locked down: confidentiality");
    if (kernel_is_too_old()) return fail(failure, STAGE_LOAD, error, "unsupported_kernel", "older than 5.8");
    const char *reason = "load_refused";
    if (error == -ENOMEM || error == -E2BIG) reason = "out_of_memory";
    if (error == -ESRCH || error == -ENOENT) reason = "unsupported_kernel";
    return fail(failure, STAGE_LOAD, error, reason, objects_message());
}

static void note_use(struct programs *programs, const char *name) {
    if (programs->use_count < MAX_USES) programs->uses[programs->use_count++] = name;
}

/* The only variable, so the section is this structure. */
static struct counters *share_counters(const struct objects *objects) {
    int fd = objects_map(objects, ".bss");
    void *memory = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void find_maps(struct programs *programs) {
    const struct objects *objects = &programs->objects;
    programs->events = objects_map(objects, "events");
    programs->calls = objects_map(objects, "calls");
    programs->files = objects_map(objects, "files");
    programs->peers = objects_map(objects, "peers");
    programs->followed = objects_map(objects, "followed");
    note_use(programs, programs->early ? "pid_hash" : "task_storage");
    note_use(programs, "ring_buffer");
    if (objects->light != NULL) note_use(programs, "loader_program");
}

static int load_in_some_way(struct programs *programs, const struct options *options, bool follow_privileged) {
    int error = 0;
    for (enum way way = options->first_way; way < WAYS; way++) {
        programs->early = way == WAY_EARLY;
        error = objects_load(&programs->objects, way, options, follow_privileged);
        /* What libbpf finds no memory for, the other variant finds none for either. */
        if (error == 0 || (error == -ENOMEM && way == WAY_LIBBPF)) break;
        objects_close(&programs->objects);
    }
    return error;
}

bool programs_load(struct programs *programs, const struct options *options, bool follow_privileged,
                   struct failure *failure) {
    memset(programs, 0, sizeof(*programs));
    if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
        return fail(failure, STAGE_START, errno, "no_btf", "/sys/kernel/btf/vmlinux cannot be read");
    int error = load_in_some_way(programs, options, follow_privileged);
    if (error == 0) {
        find_maps(programs);
        programs->counters = share_counters(&programs->objects);
        error = programs->counters == NULL ? -errno : 0;
    }
    return error == 0 ? true : load_failed(failure, error);
}

static const struct {
    const char *program, *hook;
} hooks[] = {
    {"on_exit", "tp_btf/sched_process_exit"}, {"on_fork", "tp_btf/sched_process_fork"},
    {"on_exec", "tp_btf/sched_process_exec"}, {"on_socket_state", "tp_btf/inet_sock_set_state"},
    {"on_sys_exit", "tp_btf/sys_exit"},
};

bool programs_attach(struct programs *programs, struct failure *failure) {
    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
        /* Without a name: where a program of this type belongs is part of it. */
        int link = bpf_raw_tracepoint_open(NULL, objects_program(&programs->objects, hooks[i].program));
        if (link < 0) return fail(failure, STAGE_ATTACH, link, "attach_refused", hooks[i].hook);
        programs->links[programs->link_count++] = link;
        note_use(programs, hooks[i].hook);
    }
    return true;
}

/* The parent and the real user of a process. */
static bool read_status(uint32_t pid, long *parent, long *user) {
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%u/status", pid);
    FILE *file = fopen(path, "re");
    *parent = *user = -1;
    if (file == NULL) return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        sscanf(line, "PPid: %ld", parent);
        sscanf(line, "Uid: %ld", user);
    }
    fclose(file);
    return *parent >= 0 && *user >= 0;
}

/* `user` is who started the observer. */
static bool may_follow(uint32_t pid, uid_t user, bool *exists) {
    long parent, owner;
    *exists = read_status(pid, &parent, &owner);
    return *exists && parent == (long)getppid() && (user == 0 || owner == (long)user);
}

static bool in_first_pid_namespace(void) {
    char name[64] = {0};
    return readlink("/proc/self/ns/pid", name, sizeof(name) - 1) > 0 && strcmp(name, "pid:[4026531836]") == 0;
}

bool programs_follow(struct programs *programs, uint32_t pid, struct failure *failure) {
    struct state state = {.flags = STATE_HELD};
    bool exists = false;
    uid_t user = programs->started_by;
    if (programs->early && !in_first_pid_namespace())
        return fail(failure, STAGE_FOLLOW, 0, "unsupported_kernel", "a pid namespace needs a kernel from 5.17 on");
    /* From here on the pid cannot be anyone else's unnoticed. */
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) return fail(failure, STAGE_FOLLOW, errno, "no_such_process", "pidfd_open");
    if (!may_follow(pid, user, &exists)) {
        close(pidfd);
        if (!exists) return fail(failure, STAGE_FOLLOW, 0, "no_such_process", "/proc/PID/status");
        return fail(failure, STAGE_FOLLOW, 0, "not_allowed", "not a child of the parent, or another user's");
    }
    programs->counters->alive = 1;
    programs->counters->threads = 1;
    programs->counters->processes = 1;
    int error = programs->early ? bpf_map_update_elem(programs->followed, &pid, &state, BPF_ANY)
                                : bpf_map_update_elem(programs->followed, &pidfd, &state, BPF_ANY);
    int why = errno;
    close(pidfd);
    if (error == 0) return true;
    return fail(failure, STAGE_FOLLOW, why, why == ESRCH ? "no_such_process" : "internal", "seeding task storage");
}

uint64_t programs_missed(const struct programs *programs) {
    uint64_t missed = 0;
    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
        struct bpf_prog_info info = {0};
        uint32_t size = sizeof(info);
        int program = objects_program(&programs->objects, hooks[i].program);
        if (bpf_obj_get_info_by_fd(program, &info, &size) == 0) missed += info.recursion_misses;
    }
    return missed;
}

void programs_detach(struct programs *programs) {
    while (programs->link_count > 0) close(programs->links[--programs->link_count]);
}

void programs_free(struct programs *programs) {
    programs_detach(programs);
    if (programs->counters != NULL) munmap(programs->counters, sizeof(struct counters));
    objects_close(&programs->objects);
    programs->counters = NULL;
}
