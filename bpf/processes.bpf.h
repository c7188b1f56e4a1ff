/* Fork, exec and exit: the tree itself. */
#ifndef GLASSHOUSE_PROCESSES_BPF_H
#define GLASSHOUSE_PROCESSES_BPF_H

#define PROCESS_FIRST 1
#define PROCESS_OTHER_NAMESPACE 2
#define EXEC_SCRIPT 1
#define EXEC_NAMELESS 2
#define EXEC_PRIVILEGED 4
#define EXEC_ARGV_TRUNCATED 8
#define EXEC_ARGV_UNREADABLE 16
#define END_RSS_UPPER_BOUND 2
#define SYSCALL_EXIT 60
#define SYSCALL_EXIT_GROUP 231

/* Fills `usage` with what the thread has used itself. */
static __always_inline void read_usage(struct task_struct *task, struct usage *usage) {
    usage->cpu = READ(task, se.sum_exec_runtime);
    usage->user = READ(task, utime);
    usage->system = READ(task, stime);
    if (!bpf_core_field_exists(task->ioac.rchar)) return;
    usage->rchar = READ(task, ioac.rchar);
    usage->wchar = READ(task, ioac.wchar);
    if (!bpf_core_field_exists(task->ioac.read_bytes)) return;
    usage->read_bytes = READ(task, ioac.read_bytes);
    usage->write_bytes = READ(task, ioac.write_bytes);
}

/* sum += now - before, in one step for each figure: several threads may end at once. */
static __always_inline void add_usage(struct usage *sum, const struct usage *now, const struct usage *before) {
    ADD(sum->cpu, now->cpu - before->cpu);
    ADD(sum->user, now->user - before->user);
    ADD(sum->system, now->system - before->system);
    ADD(sum->rchar, now->rchar - before->rchar);
    ADD(sum->wchar, now->wchar - before->wchar);
    ADD(sum->read_bytes, now->read_bytes - before->read_bytes);
    ADD(sum->write_bytes, now->write_bytes - before->write_bytes);
}

static __always_inline struct upid innermost_pid(struct task_struct *task) {
    struct upid upid = {};
    struct pid *pid = READ(task, thread_pid);
    __u32 level = READ(pid, level);
    if (level > 32) return upid;
    __u64 size = bpf_core_type_size(struct upid);
    __u64 first = bpf_core_field_offset(struct pid, numbers);
    void *entry = (char *)pid + first + level * size;
    upid.nr = READ((struct upid *)entry, nr);
    upid.ns = READ((struct upid *)entry, ns);
    return upid;
}

static __always_inline void emit_process(const struct state *state, struct task_struct *child, __u64 parent_birth,
                                         __u32 parent_pid, __u32 flags) {
    struct draft *draft = new_draft(RECORD_PROCESS, state);
    if (draft == NULL) return;
    struct upid inner = innermost_pid(child);
    if ((__u64)inner.ns != counters.pid_namespace) flags |= PROCESS_OTHER_NAMESPACE;
    draft->record.tid = state->pid;
    draft->record.process.parent_birth = parent_birth;
    draft->record.process.parent_pid = parent_pid;
    draft->record.process.namespace_pid = (__u32)inner.nr;
    draft->record.process.flags = flags;
    emit(draft);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child) {
    struct state *state = state_of(parent);
    if (state == NULL || (state->flags & STATE_HELD)) return 0;
    __u64 parent_birth = state->birth;
    __u32 parent_pid = state->pid;
    bool is_thread = child->tgid != child->pid;
    struct state *own = follow(child);
    if (own == NULL) {
        note_gap(GAP_UNTRACKED);
        return 0;
    }
    ADD(counters.alive, 1);
    ADD(counters.threads, 1);
    own->flags = 0;
    own->pid = (__u32)child->tgid;
    if (is_thread) {
        own->birth = parent_birth;
        struct state *leader = leader_state(child);
        if (leader != NULL) ADD(leader->threads, 1);
        return 0;
    }
    own->birth = READ(child, start_boottime);
    own->threads = 1;
    ADD(counters.processes, 1);
    emit_process(own, child, parent_birth, parent_pid, 0);
    return 0;
}

/* The first process has become the command: from here on it counts. */
static __always_inline void begin_tree(struct state *state, struct task_struct *task) {
    struct task_struct *parent = READ(task, real_parent);
    state->flags &= ~STATE_HELD;
    state->birth = READ(task, group_leader, start_boottime);
    state->pid = (__u32)READ(task, tgid);
    state->threads = 1;
    read_usage(task, &state->before);
    counters.root_dentry = (__u64)READ(task, fs, root.dentry);
    counters.root_mount = (__u64)READ(task, fs, root.mnt);
    counters.mount_namespace = (__u64)READ(task, nsproxy, mnt_ns);
    counters.pid_namespace = (__u64)innermost_pid(task).ns;
    emit_process(state, task, READ(parent, start_boottime), (__u32)READ(parent, tgid),
                 PROCESS_FIRST);
}

/* Whether the first 128 bytes are the same. */
static __always_inline bool same_string(const char *left, const char *right) {
    __u64 a[16] = {}, b[16] = {}, difference = 0;
    if (left == right) return true;
    bpf_probe_read_kernel_str(a, sizeof(a), left);
    bpf_probe_read_kernel_str(b, sizeof(b), right);
    for (int i = 0; i < 16; i++) difference |= a[i] ^ b[i];
    return difference == 0;
}

/* Memory of the new image: the kernel has just written it, so it is there. Returns 0 when there is nothing to go on with. */
__noinline int emit_argv_chunk(__u64 address, __u64 bytes) {
    struct state *state = current_state();
    struct draft *draft = state == NULL ? NULL : new_draft(RECORD_ARGV, state);
    if (draft == NULL) return 0;
    bytes = at_most(ARGV_CHUNK, bytes);
    begin_section(draft);
    if (bpf_probe_read_user(free_space(draft), bytes, (void *)address) != 0) {
        note_gap(GAP_ARGV);
        return 0;
    }
    take_space(draft, bytes);
    end_section(draft, 0, SECTION_BYTES, 0);
    return emit(draft);
}

static __always_inline void emit_argv(unsigned long start, __u32 length) {
    for (__u32 chunk = 0; chunk < MAX_ARGV_CHUNKS; chunk++) {
        __u32 offset = chunk * ARGV_CHUNK;
        if (offset >= length || !emit_argv_chunk(start + offset, length - offset)) return;
    }
}

static __always_inline __u32 argv_length(struct mm_struct *mm, unsigned long start, __u32 *flags) {
    unsigned long length = READ(mm, arg_end) - start;
    unsigned long most = (unsigned long)settings.argv_chunks * ARGV_CHUNK;
    char probe;
    if (length == 0) return 0;
    if (length > most) {
        *flags |= EXEC_ARGV_TRUNCATED;
        note_gap(GAP_ARGV);
        length = most;
    }
    if (length > 0 && bpf_probe_read_user(&probe, 1, (void *)start) != 0) {
        *flags |= EXEC_ARGV_UNREADABLE;
        note_gap(GAP_ARGV);
        return 0;
    }
    return (__u32)length;
}

/* The reader may be napping: that the tree has ended is what its host waits for. */
static __always_inline void count_departure(void) {
    __sync_fetch_and_add(&counters.alive, -1);
    if (counters.alive == 0) wake_reader();
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm) {
    struct state *state = state_of(task);
    (void)old_pid;
    if (state == NULL) return 0;
    bool privileged = BPF_CORE_READ_BITFIELD_PROBED(bprm, secureexec);
    if (privileged && !settings.follow_privileged) {
        note_gap(GAP_PRIVILEGED);
        leave(task);
        count_departure();
        return 0;
    }
    if (state->flags & STATE_HELD) begin_tree(state, task);
    if (state->threads == 0) state->threads = 1;
    struct mm_struct *mm = READ(task, mm);
    unsigned long start = READ(mm, arg_start);
    const char *filename = READ(bprm, filename), *interpreter = READ(bprm, interp);
    __u32 flags = privileged ? EXEC_PRIVILEGED : 0;
    __u32 length = argv_length(mm, start, &flags);
    state->rss_before = READ(task, signal, maxrss);
    struct draft *draft = new_draft(RECORD_EXEC, state);
    if (draft == NULL) return 0;
    add_file_path(0, READ(mm, exe_file));
    add_path(1, READ(task, fs, pwd.dentry), READ(task, fs, pwd.mnt));
    add_kernel_text(draft, 2, filename);
    if (!same_string(filename, interpreter)) {
        flags |= EXEC_SCRIPT;
        add_kernel_text(draft, 3, interpreter);
    } else {
        begin_section(draft);
        end_section(draft, 3, SECTION_TEXT, 0);
    }
    if (draft->record.sections[0].flags & TEXT_DETACHED) flags |= EXEC_NAMELESS;
    draft->record.exec.flags = flags;
    draft->record.exec.real_uid = READ(task, cred, uid.val);
    draft->record.exec.effective_uid = READ(task, cred, euid.val);
    draft->record.exec.argv_bytes = length;
    if (emit(draft)) emit_argv(start, length);
    return 0;
}

#ifndef EARLY_KERNEL
/* These two never come back to sys_exit. */
static __always_inline void count_exit_call(struct task_struct *task) {
    if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) return;
    struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
    __u32 number = (__u32)READ(regs, orig_ax);
    if (number != SYSCALL_EXIT && number != SYSCALL_EXIT_GROUP) return;
    struct call_count *count = bpf_map_lookup_elem(&calls, &number);
    if (count != NULL) ADD(count->calls, 1);
}
#else
static __always_inline void count_exit_call(struct task_struct *task) {
    (void)task;
}
#endif

static __always_inline void emit_end(struct task_struct *task, const struct state *leader) {
    struct draft *draft = new_draft(RECORD_PROCESS_END, leader);
    if (draft == NULL) return;
    __u64 peak = READ(task, signal, maxrss);
    /* SIGNAL_GROUP_EXIT, as wait(2) looks at it. */
    bool group_exit = (READ(task, signal, flags) & 4) != 0;
    int status = group_exit ? READ(task, signal, group_exit_code)
                            : READ(task, group_leader, exit_code);
    bool exact = peak > leader->rss_before;
    draft->record.end.wait_status = (__u32)status;
    draft->record.end.flags = exact ? 0 : END_RSS_UPPER_BOUND;
    draft->record.end.threads = leader->threads;
    draft->record.end.max_rss_pages = peak;
    draft->record.end.usage = leader->usage;
    /* Two processes may end at once, and the smaller peak may win: the records have both. */
    if (exact && peak > counters.max_rss_pages) counters.max_rss_pages = peak;
    emit(draft);
}

/* Task storage goes with the task; the leader's entry in the table by pid is needed until the last thread has ended. */
static __always_inline void forget(struct task_struct *task) {
#ifdef EARLY_KERNEL
    struct task_struct *leader = READ(task, group_leader);
    if (leader != task) leave(task);
    if (READ(task, signal, live.counter) == 0) leave(leader);
#endif
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task) {
    struct state *state = state_of(task);
    if (state == NULL) return 0;
    if (!(state->flags & STATE_HELD)) {
        struct usage now = {};
        struct state *leader = leader_state(task);
        read_usage(task, &now);
        count_exit_call(task);
        add_usage(&counters.usage, &now, &state->before);
        if (leader != NULL) {
            add_usage(&leader->usage, &now, &state->before);
            if (READ(task, signal, live.counter) == 0) emit_end(task, leader);
        }
    }
    count_departure();
    forget(task);
    return 0;
}

#endif
