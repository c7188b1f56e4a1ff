/* Connections: how they begin, and what becomes of those that take time. */
#ifndef GLASSHOUSE_CONNECTIONS_BPF_H
#define GLASSHOUSE_CONNECTIONS_BPF_H

#define ERROR_IN_PROGRESS 115
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7

struct connecting {
    __u64 birth;
    __u32 pid;
    __u32 tid;
    __u64 inode;
    __u64 sock;
    __u64 type;
};

/* Connects in progress, by socket. Left over entries go when new ones need the room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, struct connecting);
} connecting SEC(".maps");

static __always_inline void remember_connect(const struct state *state, const struct open_socket *socket) {
    struct connecting entry = {
        .birth = state->birth,
        .pid = state->pid,
        .tid = (__u32)bpf_get_current_pid_tgid(),
        .inode = socket->inode,
        .sock = (__u64)socket->sock,
        .type = socket->type,
    };
    __u64 key = (__u64)socket->sock;
    bpf_map_update_elem(&connecting, &key, &entry, BPF_ANY);
}

static __always_inline void emit_outcome(const struct connecting *entry, int state) {
    /* As a number: the hook's own pointer is of a kind that only the verifier's own functions take. */
    const struct sock *sock = (const struct sock *)entry->sock;
    struct state owner = {.birth = entry->birth, .pid = entry->pid};
    struct open_socket socket = {
        .sock = (struct sock *)sock,
        .inode = entry->inode,
        .type = (__u16)entry->type,
        .family = READ(sock, __sk_common.skc_family),
    };
    __u32 error = state == TCP_CLOSE ? (__u32)READ(sock, sk_err) : 0;
    struct draft *draft = new_socket_draft(&owner, &socket, SOCKET_OUTCOME, error);
    if (draft == NULL) return;
    draft->record.tid = entry->tid;
    begin_section(draft);
    end_section(draft, 0, SECTION_BYTES, 0);
    write_addresses((__u64)sock, socket.family);
    emit(draft);
}

/* Reports the outcome of a connect in progress, once. */
static __always_inline void end_connect(__u64 sock, int state) {
    struct connecting *entry = bpf_map_lookup_elem(&connecting, &sock);
    if (entry == NULL) return;
    struct connecting copy = *entry;
    /* Whoever takes it out reports it. */
    if (bpf_map_delete_elem(&connecting, &sock) == 0) emit_outcome(&copy, state);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, const struct sock *sock, int oldstate, int newstate) {
    if (oldstate != TCP_SYN_SENT) return 0;
    set_depth(1);
    end_connect((__u64)sock, newstate);
    set_depth(0);
    return 0;
}

static __noinline int call_socket(struct state *state, struct pt_regs *regs, long result) {
    struct socket_work *work = socket_work();
    const void *address = NULL;
    __u32 operation = SOCKET_ACCEPT, length = 0;
    int descriptor = (int)regs->di;
    if (work == NULL || is_restarted(result)) return 0;
    switch (regs->orig_ax) {
    case CALL_CONNECT:
    case CALL_BIND:
        operation = regs->orig_ax == CALL_CONNECT ? SOCKET_CONNECT : SOCKET_BIND;
        address = (const void *)regs->si;
        length = (__u32)regs->dx;
        break;
    case CALL_LISTEN:
        operation = SOCKET_LISTEN;
        break;
    default:
        if (result >= 0) descriptor = (int)result;
        /* A server that polls would fill the receipt with these. */
        else if (result == -11) return 0;
    }
    struct open_socket *socket = &work->socket;
    if (!find_file(descriptor, &work->open) || !find_socket(&work->open, socket)) return 0;
    __u32 error = is_error(result) ? (__u32)-result : 0;
    struct draft *draft = new_socket_draft(state, socket, operation, error);
    if (draft == NULL) return 0;
    add_user_address(draft, 0, address, length);
    write_addresses((__u64)socket->sock, socket->family);
    emit(draft);
    if (error != ERROR_IN_PROGRESS || operation != SOCKET_CONNECT) return 0;
    remember_connect(state, socket);
    /* The answer may have come before the call returned. */
    int now = READ(socket->sock, __sk_common.skc_state);
    if (now != TCP_SYN_SENT) end_connect((__u64)socket->sock, now);
    return 0;
}

#endif
