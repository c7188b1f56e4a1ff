/* Maps, and who belongs to the tree. */
#ifndef GLASSHOUSE_FOLLOW_BPF_H
#define GLASSHOUSE_FOLLOW_BPF_H

const volatile struct settings settings = {};
struct counters counters = {};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CALLS_PER_ABI * ABIS);
    __type(key, __u32);
    __type(value, struct call_count);
} calls SEC(".maps");

#define ADD(counter, amount) __sync_fetch_and_add(&(counter), (amount))

static __always_inline void note_gap(enum gap gap) {
    ADD(counters.gaps[gap], 1);
}

#ifndef EARLY_KERNEL
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct state);
} followed SEC(".maps");

static __always_inline struct task_struct *current_task(void) {
    return bpf_get_current_task_btf();
}

/* Read in place: this is looked at with every call, and a helper takes as long as all else for most of them. */
static __always_inline __u32 current_status(void) {
    return current_task()->thread_info.status;
}

static __always_inline struct state *state_of(struct task_struct *task) {
    return bpf_task_storage_get(&followed, task, NULL, 0);
}

static __always_inline struct state *follow(struct task_struct *task) {
    return bpf_task_storage_get(&followed, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline void leave(struct task_struct *task) {
    bpf_task_storage_delete(&followed, task);
}
#else
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, struct state);
} followed SEC(".maps");

static __always_inline struct task_struct *current_task(void) {
    return (struct task_struct *)bpf_get_current_task();
}

static __always_inline __u32 current_status(void) {
    return READ(current_task(), thread_info.status);
}

static __always_inline struct state *state_of(struct task_struct *task) {
    __u32 tid = (__u32)READ(task, pid);
    return bpf_map_lookup_elem(&followed, &tid);
}

static __always_inline struct state *follow(struct task_struct *task) {
    struct state fresh = {};
    __u32 tid = (__u32)READ(task, pid);
    bpf_map_update_elem(&followed, &tid, &fresh, BPF_ANY);
    return bpf_map_lookup_elem(&followed, &tid);
}

static __always_inline void leave(struct task_struct *task) {
    __u32 tid = (__u32)READ(task, pid);
    bpf_map_delete_elem(&followed, &tid);
}
#endif

static __always_inline struct state *leader_state(struct task_struct *task) {
#ifndef EARLY_KERNEL
    struct task_struct *leader = task->group_leader;
    return leader == NULL ? NULL : state_of(leader);
#else
    return state_of(READ(task, group_leader));
#endif
}

/* The state of the current thread, once the command runs. */
static __always_inline struct state *current_state(void) {
    struct state *state = state_of(current_task());
    if (state == NULL || (state->flags & STATE_HELD)) return NULL;
    return state;
}

#endif
