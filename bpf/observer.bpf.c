/*
 * The observer's programs. Everything hangs on raw tracepoints, since they load on every kernel from 5.8 on that has
 * BTF, also where trampolines (fentry, LSM), kprobes and tracefs are refused. System calls are looked at when they
 * return: then their strings have been read once and lie in memory, and their result is known.
 */
#include <stdbool.h>
#include <stddef.h>

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "record.h"
#include "calls.bpf.h"
#include "follow.bpf.h"
#include "emit.bpf.h"
#include "path.bpf.h"

struct open_file;
static __always_inline void count_any(const struct state *state, const struct open_file *open, __u64 bytes,
                                      bool writes, const void *payload);

#include "files.bpf.h"
#include "processes.bpf.h"
#include "sockets.bpf.h"

#define STATUS_COMPAT 2
#define X32_BIT 0x40000000

char LICENSE[] SEC("license") = "GPL";

static __always_inline void count_any(const struct state *state, const struct open_file *open, __u64 bytes,
                                      bool writes, const void *payload) {
    struct socket_work *work = socket_work();
    if (work == NULL) return;
    if (find_socket(open, &work->socket)) count_socket_io(state, work, bytes, writes, NULL, payload);
    else count_file_io(state, open, bytes, writes);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_io, struct pt_regs *regs, long result) {
    struct state *state = current_state();
    struct open_file open;
    bool writes = true;
    if (state == NULL || is_error(result)) return 0;
    switch (regs->orig_ax) {
    case CALL_READ:
    case CALL_PREAD64:
    case CALL_READV:
    case CALL_PREADV:
    case CALL_PREADV2:
        writes = false;
    }
    if (!find_file((int)regs->di, &open)) return 0;
    count_any(state, &open, (__u64)result, writes, regs->orig_ax == CALL_WRITE ? (const void *)regs->si : NULL);
    return 0;
}

struct notable_key {
    __u64 birth;
    __u64 first_argument;
    __u32 pid;
    __u16 number;
    __u16 error;
};

/* What has been reported. Forgetting is harmless: then it is reported again. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 8192);
    __type(key, struct notable_key);
    __type(value, __u8);
} notables SEC(".maps");

SEC("tp_btf/sys_exit")
int BPF_PROG(call_notable, struct pt_regs *regs, long result) {
    struct state *state = current_state();
    if (state == NULL || is_restarted(result)) return 0;
    struct notable_key key = {
        .birth = state->birth,
        .pid = state->pid,
        .first_argument = regs->di,
        .number = (__u16)regs->orig_ax,
        .error = is_error(result) ? (__u16)-result : 0,
    };
    __u8 seen = 1;
    if (regs->orig_ax == CALL_IO_URING_SETUP && result >= 0) note_gap(GAP_IO_URING);
    /* Any of them may have been a mount: known paths are doubtful. */
    if (!is_error(result)) ADD(counters.generation, 1);
    if (bpf_map_update_elem(&notables, &key, &seen, BPF_NOEXIST) == -17) return 0;
    struct draft *draft = new_draft(RECORD_NOTABLE, state);
    if (draft == NULL) return 0;
    draft->record.notable.number = key.number;
    draft->record.notable.result = result;
    draft->record.notable.arguments[0] = regs->di;
    draft->record.notable.arguments[1] = regs->si;
    draft->record.notable.arguments[2] = regs->dx;
    draft->record.notable.arguments[3] = regs->r10;
    draft->record.notable.arguments[4] = regs->r8;
    draft->record.notable.arguments[5] = regs->r9;
    emit(draft);
    return 0;
}

static __always_inline bool is_new_child(__u32 number, long result) {
    if (result != 0) return false;
    return number == CALL_CLONE || number == CALL_CLONE3 || number == CALL_FORK || number == CALL_VFORK;
}

static __always_inline void count_call(__u32 abi, __u32 number, long result) {
    if (number >= CALLS_PER_ABI) number = CALL_OUT_OF_RANGE;
    __u32 index = abi * CALLS_PER_ABI + number;
    struct call_count *count = bpf_map_lookup_elem(&calls, &index);
    if (count == NULL) return;
    ADD(count->calls, 1);
    if (!is_error(result)) return;
    ADD(count->failed, 1);
    if (result == -1) ADD(count->eperm, 1);
    if (result == -13) ADD(count->eacces, 1);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result) {
    struct state *state = current_state();
    if (state == NULL) return 0;
    __u32 number = (__u32)regs->orig_ax;
    if (READ(current_task(), thread_info.status) & STATUS_COMPAT) {
        count_call(ABI_I386, number, result);
        note_gap(GAP_FOREIGN_ABI);
        return 0;
    }
    /* The only call that comes back with other registers than it was made with. */
    if (number == (__u32)-1) number = CALL_RT_SIGRETURN;
    if (number & X32_BIT) {
        count_call(ABI_X32, number & ~X32_BIT, result);
        note_gap(GAP_FOREIGN_ABI);
        return 0;
    }
    if (is_new_child(number, result)) return 0;
    count_call(ABI_NATIVE, number, result);
    bpf_tail_call(ctx, &handlers, number);
    return 0;
}
