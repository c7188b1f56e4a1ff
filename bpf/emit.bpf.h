/*
 * Composes records in memory of this CPU and hands them to the ring buffer. Tracepoints run with preemption off, but
 * a soft interrupt may come in the middle of one, and its program needs memory of its own.
 */
#ifndef GLASSHOUSE_EMIT_BPF_H
#define GLASSHOUSE_EMIT_BPF_H

struct draft {
    __u32 used; /* bytes of data; kept in the map so that the verifier does not follow its values */
    __u32 start; /* where the section that is being written starts */
    struct record record;
    __u8 data[DATA_LIMIT + PATH_LIMIT];
};

#define MAX_DEPTH 2

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} depths SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MAX_DEPTH);
    __type(key, __u32);
    __type(value, struct draft);
} drafts SEC(".maps");

/* 1 inside of a soft interrupt's program, else 0. */
static __always_inline __u32 depth(void) {
    __u32 zero = 0, *depth = bpf_map_lookup_elem(&depths, &zero);
    return depth == NULL ? 0 : *depth;
}

static __always_inline void set_depth(__u32 value) {
    __u32 zero = 0, *depth = bpf_map_lookup_elem(&depths, &zero);
    if (depth != NULL) *depth = value;
}

static __always_inline struct draft *blank_draft(void) {
    __u32 index = depth();
    return bpf_map_lookup_elem(&drafts, &index);
}

static __always_inline struct draft *new_draft(__u16 type, const struct state *state) {
    struct draft *draft = blank_draft();
    if (draft == NULL) return NULL;
    __builtin_memset(&draft->record, 0, sizeof(draft->record));
    draft->used = 0;
    draft->record.type = type;
    draft->record.time = bpf_ktime_get_ns();
    draft->record.birth = state->birth;
    draft->record.pid = state->pid;
    draft->record.tid = (__u32)bpf_get_current_pid_tgid();
    return draft;
}

static __always_inline void begin_section(struct draft *draft) {
    draft->start = draft->used;
}

static __always_inline void end_section(struct draft *draft, __u64 index, __u8 kind, __u8 flags) {
    asm volatile("%0 &= 7" : "+r"(index)); /* MAX_SECTIONS - 1: the compiler would take the check elsewhere */
    struct section *section = &draft->record.sections[index];
    section->length = (__u16)(draft->used - draft->start);
    section->kind = kind;
    section->flags = flags;
}

/* Where the next bytes go: there is room for PATH_LIMIT of them. */
static __always_inline __u8 *free_space(struct draft *draft) {
    return &draft->data[draft->used & (DATA_LIMIT - 1)];
}

static __always_inline void take_space(struct draft *draft, __u64 bytes) {
    draft->used = (draft->used + (__u32)bytes) & (DATA_LIMIT - 1);
}

static __always_inline __u64 wakeup_flags(void) {
    __u32 reader = counters.reader;
    if (reader == READER_BUSY) return BPF_RB_NO_WAKEUP;
    if (reader == READER_NAPS && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < settings.wake_bytes)
        return BPF_RB_NO_WAKEUP;
    counters.reader = READER_BUSY;
    return BPF_RB_FORCE_WAKEUP;
}

/* False when the ring buffer is full. */
static __always_inline bool emit(struct draft *draft) {
    __u32 used = draft->used & (DATA_LIMIT - 1);
    __u32 type = (__u32)(draft->record.type - FIRST_RECORD) & (RECORD_TYPES - 1);
    draft->record.data_bytes = used;
    /* The data follow the record without a gap: both are one object in memory. */
    if (bpf_ringbuf_output(&events, &draft->record, sizeof(draft->record) + used, wakeup_flags()) == 0) return true;
    ADD(counters.lost[type], 1);
    return false;
}

/* Wakes the reader with a record that it will not see. */
static __always_inline void wake_reader(void) {
    void *nothing = bpf_ringbuf_reserve(&events, 8, 0);
    if (nothing != NULL) bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

/* The smaller of both, in a form that the verifier sees: in one register, which the compiler keeps in place. */
static __always_inline __u64 at_most(__u64 limit, __u64 value) {
    asm volatile("" : "+r"(value));
    if (value > limit) value = limit;
    asm volatile("" : "+r"(value));
    return value;
}

/* Adds a string of the program. */
static __always_inline void add_user_text(struct draft *draft, __u32 index, const void *text) {
    __u8 flags = 0;
    begin_section(draft);
    long length = bpf_probe_read_user_str(free_space(draft), PATH_LIMIT, text);
    if (length < 0) {
        flags = TEXT_UNRESOLVED;
        note_gap(GAP_UNREADABLE);
    } else {
        if (length == PATH_LIMIT) {
            flags = TEXT_TRUNCATED;
            note_gap(GAP_TRUNCATED);
        }
        take_space(draft, length == 0 ? 0 : (__u64)length - 1);
    }
    end_section(draft, index, SECTION_TEXT, flags);
}

static __always_inline void add_kernel_text(struct draft *draft, __u32 index, const void *text) {
    begin_section(draft);
    long length = bpf_probe_read_kernel_str(free_space(draft), PATH_LIMIT, text);
    if (length > 0) take_space(draft, (__u64)length - 1);
    end_section(draft, index, SECTION_TEXT, length < 0 ? TEXT_UNRESOLVED : 0);
}

/* Adds up to ADDRESS_LIMIT bytes of the program's memory. */
static __always_inline void add_user_address(struct draft *draft, __u32 index, const void *address, __u64 length) {
    begin_section(draft);
    length = at_most(ADDRESS_LIMIT, length);
    if (address != NULL && bpf_probe_read_user(free_space(draft), length, address) == 0) take_space(draft, length);
    end_section(draft, index, SECTION_BYTES, 0);
}

static __always_inline void add_kernel_bytes(struct draft *draft, __u32 index, const void *bytes, __u64 length) {
    begin_section(draft);
    length = at_most(ADDRESS_LIMIT, length);
    if (bpf_probe_read_kernel(free_space(draft), length, bytes) == 0) take_space(draft, length);
    end_section(draft, index, SECTION_BYTES, 0);
}

#endif
