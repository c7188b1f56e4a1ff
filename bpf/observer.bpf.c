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

#include "files.bpf.h"
#include "processes.bpf.h"
#include "sockets.bpf.h"
#include "connections.bpf.h"
#include "traffic.bpf.h"

#define MAP_SHARED 1
#define MAP_ANONYMOUS 0x20
#define PROT_WRITE 2
#define STATUS_COMPAT 2
#define X32_BIT 0x40000000

char LICENSE[] SEC("license") = "GPL";

/* Counts a transfer of a file or socket; `payload` is where the bytes lie, or 0. One copy of it: the verifier takes time. */
__noinline int count_transfer(int descriptor, __u64 bytes, __u32 writes, __u64 payload) {
    struct socket_work *work = socket_work();
    if (work == NULL || !find_file(descriptor, &work->open)) return 0;
    if (find_socket(&work->open, &work->socket)) return count_socket_io(bytes, writes, 0, payload);
    return count_file((__u64)work->open.file, bytes, writes ? USE_WRITE : USE_READ);
}

static __always_inline int count_mapping(struct pt_regs *regs) {
    struct open_file open;
    if (regs->r10 & MAP_ANONYMOUS) return 0;
    if (!find_file((int)regs->r8, &open) || (open.mode & MODE_TYPE) != MODE_REGULAR) return 0;
    bool writable = (regs->r10 & MAP_SHARED) && (regs->dx & PROT_WRITE);
    return count_file((__u64)open.file, 0, writable ? USE_MAP_WRITABLE : USE_MAP);
}

/* Everything that moves bytes. */
static __noinline int call_io(struct pt_regs *regs, long result) {
    struct socket_work *work = socket_work();
    if (work == NULL || is_error(result)) return 0;
    switch (regs->orig_ax) {
    case CALL_MMAP:
        return count_mapping(regs);
    case CALL_SENDFILE:
        count_transfer((int)regs->si, (__u64)result, false, 0);
        count_transfer((int)regs->di, (__u64)result, true, 0);
        return 0;
    case CALL_SPLICE:
    case CALL_COPY_FILE_RANGE:
        count_transfer((int)regs->di, (__u64)result, false, 0);
        count_transfer((int)regs->dx, (__u64)result, true, 0);
        return 0;
    case CALL_SENDTO:
    case CALL_SENDMSG:
    case CALL_SENDMMSG:
    case CALL_RECVFROM:
    case CALL_RECVMSG:
    case CALL_RECVMMSG:
        if (!find_file((int)regs->di, &work->open) || !find_socket(&work->open, &work->socket)) return 0;
        return count_message_call(regs, work, result);
    case CALL_READ:
    case CALL_PREAD64:
    case CALL_READV:
    case CALL_PREADV:
    case CALL_PREADV2:
        count_transfer((int)regs->di, (__u64)result, false, 0);
        return 0;
    }
    count_transfer((int)regs->di, (__u64)result, true, regs->orig_ax == CALL_WRITE ? regs->si : 0);
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

static __noinline int call_notable(struct state *state, struct pt_regs *regs, long result) {
    if (is_restarted(result)) return 0;
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

/*
 * Calls, and no tail calls: an array of programs that somebody opens by its number at the moment when its last holder
 * goes stays loaded for good (seen on 6.18).
 */
static __always_inline int look_at(struct state *state, struct pt_regs *regs, __u32 number, long result) {
    if (number >= HANDLERS) return 0;
    switch (settings.handlers[number]) {
    case HANDLER_OPEN:
        return call_open(regs, result);
    case HANDLER_IO:
        return call_io(regs, result);
    case HANDLER_CHANGE:
        return call_change(state, regs, result);
    case HANDLER_SOCKET:
        return call_socket(state, regs, result);
    case HANDLER_NOTABLE:
        return call_notable(state, regs, result);
    }
    return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result) {
    struct state *state = current_state();
    if (state == NULL) return 0;
    __u32 number = (__u32)regs->orig_ax;
    if (current_status() & STATUS_COMPAT) {
        count_call(ABI_I386, number, result);
        note_gap(GAP_FOREIGN_ABI);
        return 0;
    }
    /* The only call that comes back with other registers than it was made with. */
    if (number == (__u32)-1) {
        count_call(ABI_NATIVE, CALL_RT_SIGRETURN, result);
        return 0;
    }
    if (number & X32_BIT) {
        count_call(ABI_X32, number & ~X32_BIT, result);
        note_gap(GAP_FOREIGN_ABI);
        return 0;
    }
    if (is_new_child(number, result)) return 0;
    count_call(ABI_NATIVE, number, result);
    /* The result is read anew: else the verifier would follow all that comes for each of its ranges that were told apart. */
    return look_at(state, regs, number, (long)((volatile unsigned long long *)ctx)[1]);
}
