/* Connections, addresses, bytes by peer, and questions to name servers. */
#ifndef GLASSHOUSE_SOCKETS_BPF_H
#define GLASSHOUSE_SOCKETS_BPF_H

#define FAMILY_UNIX 1
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PORT_DNS 53
#define ERROR_IN_PROGRESS 115
#define MESSAGES_LOOKED_AT 8
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7

enum socket_operation { SOCKET_CONNECT = 1, SOCKET_BIND, SOCKET_LISTEN, SOCKET_ACCEPT, SOCKET_TRAFFIC, SOCKET_OUTCOME };

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct peer_key);
    __type(value, struct peer_value);
} peers SEC(".maps");

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

struct open_socket {
    struct socket *socket;
    struct sock *sock;
    __u64 inode;
    __u16 family;
    __u16 type;
};

/* A socket address of the families inet and inet6 as in memory. */
struct inet_address {
    __u16 family;
    __u16 port;
    union {
        __u32 v4;
        struct {
            __u32 flow;
            __u8 v6[16];
            __u32 scope;
        };
    };
};

/* As much of struct user_msghdr and struct mmsghdr as is looked at. */
struct user_message {
    __u64 name;
    __u32 name_length;
    __u32 padding;
    __u64 vector;
    __u64 vector_length;
    __u64 control;
    __u64 control_length;
    __u32 flags;
    __u32 more_padding;
    __u32 length; /* of mmsghdr */
    __u32 last_padding;
};

/* What does not fit onto the stack. */
struct socket_work {
    struct open_file open;
    struct open_socket socket;
    struct user_message message;
    struct peer_key key;
    struct inet_address local, peer;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MAX_DEPTH);
    __type(key, __u32);
    __type(value, struct socket_work);
} socket_works SEC(".maps");

static __always_inline struct socket_work *socket_work(void) {
    __u32 index = depth();
    return bpf_map_lookup_elem(&socket_works, &index);
}

static __always_inline bool find_socket(const struct open_file *open, struct open_socket *found) {
    if ((open->mode & MODE_TYPE) != MODE_SOCKET) return false;
    found->socket = READ(open->file, private_data);
    found->sock = READ(found->socket, sk);
    if (found->sock == NULL) return false;
    found->inode = READ(open->inode, i_ino);
    found->family = READ(found->sock, __sk_common.skc_family);
    found->type = (__u16)READ(found->socket, type);
    return true;
}

/* The length of the address; 0 when the socket has none. */
static __always_inline __u32 inet_peer(const struct sock *sock, __u32 family, struct inet_address *address) {
    address->family = (__u16)family;
    address->port = READ(sock, __sk_common.skc_dport);
    if (address->port == 0) return 0;
    if (family == FAMILY_INET) {
        address->v4 = READ(sock, __sk_common.skc_daddr);
        return 16;
    }
    if (!bpf_core_field_exists(sock->__sk_common.skc_v6_daddr)) return 0;
    BPF_CORE_READ_INTO(&address->v6, sock, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
    return 28;
}

static __always_inline __u32 inet_local(const struct sock *sock, __u32 family, struct inet_address *address) {
    __u16 port = READ(sock, __sk_common.skc_num);
    address->family = (__u16)family;
    address->port = bpf_htons(port);
    if (port == 0) return 0;
    if (family == FAMILY_INET) {
        address->v4 = READ(sock, __sk_common.skc_rcv_saddr);
        return 16;
    }
    if (!bpf_core_field_exists(sock->__sk_common.skc_v6_daddr)) return 0;
    BPF_CORE_READ_INTO(&address->v6, sock, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
    return 28;
}

static __always_inline void add_unix_address(struct draft *draft, __u32 index, const struct sock *sock) {
    struct unix_address *address = NULL;
    if (sock != NULL && bpf_core_type_exists(struct unix_sock))
        address = READ((const struct unix_sock *)sock, addr);
    if (address == NULL) {
        begin_section(draft);
        end_section(draft, index, SECTION_BYTES, 0);
        return;
    }
    int length = READ(address, len);
    const char *name = (const char *)address + bpf_core_field_offset(struct unix_address, name);
    add_kernel_bytes(draft, index, name, length < 0 ? 0 : (__u32)length);
}

/* Adds a struct sock's own address and its peer's as sections 1 and 2. */
__noinline int write_addresses(__u64 address, __u32 family) {
    const struct sock *sock = (const struct sock *)address;
    const __u32 index = 1;
    struct draft *draft = blank_draft();
    if (draft == NULL) return 0;
    if (family == FAMILY_UNIX) {
        const struct sock *peer = NULL;
        if (bpf_core_type_exists(struct unix_sock)) peer = READ((const struct unix_sock *)sock, peer);
        add_unix_address(draft, index, sock);
        add_unix_address(draft, index + 1, peer);
        return 0;
    }
    struct socket_work *work = socket_work();
    if (work == NULL) return 0;
    bool inet = family == FAMILY_INET || family == FAMILY_INET6;
    __builtin_memset(&work->local, 0, sizeof(work->local));
    __builtin_memset(&work->peer, 0, sizeof(work->peer));
    __u32 local = inet ? inet_local(sock, family, &work->local) : 0;
    __u32 peer = inet ? inet_peer(sock, family, &work->peer) : 0;
    add_kernel_bytes(draft, index, &work->local, local);
    add_kernel_bytes(draft, index + 1, &work->peer, peer);
    return 0;
}

static __always_inline struct draft *new_socket_draft(const struct state *state, const struct open_socket *socket,
                                                      __u32 operation, __u32 error) {
    struct draft *draft = new_draft(RECORD_SOCKET, state);
    if (draft == NULL) return NULL;
    draft->record.socket.key.inode = socket->inode;
    draft->record.socket.operation = operation;
    draft->record.socket.error = error;
    draft->record.socket.family = socket->family;
    draft->record.socket.type = socket->type;
    draft->record.socket.protocol = READ(socket->sock, sk_protocol);
    return draft;
}

/* The peer that bytes are counted for: the destination that the call names, or the one that the socket has. */
static __always_inline void make_peer_key(struct socket_work *work, const struct state *state,
                                          const void *destination) {
    struct peer_key *key = &work->key;
    const struct open_socket *socket = &work->socket;
    struct inet_address *address = &work->peer;
    __builtin_memset(key, 0, sizeof(*key));
    __builtin_memset(address, 0, sizeof(*address));
    key->birth = state->birth;
    key->pid = state->pid;
    key->inode = socket->inode;
    key->family = socket->family;
    if (socket->family != FAMILY_INET && socket->family != FAMILY_INET6) return;
    if (destination != NULL) {
        if (bpf_probe_read_user(address, sizeof(*address), destination) != 0)
            bpf_probe_read_user(address, 16, destination);
        if (address->family != FAMILY_INET && address->family != FAMILY_INET6) return;
    } else if (inet_peer(socket->sock, socket->family, address) == 0) {
        return;
    }
    key->family = address->family;
    key->port = address->port;
    if (address->family == FAMILY_INET) __builtin_memcpy(key->address, &address->v4, 4);
    else __builtin_memcpy(key->address, address->v6, 16);
}

static __always_inline struct peer_value *new_peer(const struct state *state, const struct open_socket *socket,
                                                   const struct peer_key *key, const void *destination) {
    struct peer_value fresh = {.type = socket->type};
    long refused = bpf_map_update_elem(&peers, key, &fresh, BPF_NOEXIST);
    if (refused != 0 && refused != -17) {
        note_gap(GAP_PEER_TABLE_FULL);
        return NULL;
    }
    struct draft *draft = new_socket_draft(state, socket, SOCKET_TRAFFIC, 0);
    if (draft == NULL) return NULL;
    draft->record.socket.key = *key;
    draft->record.socket.tracked = 1;
    __u32 length = key->family == FAMILY_INET6 ? 28 : 16;
    add_user_address(draft, 0, destination, length);
    write_addresses((__u64)socket->sock, socket->family);
    if (!emit(draft)) {
        bpf_map_delete_elem(&peers, key);
        return NULL;
    }
    return bpf_map_lookup_elem(&peers, key);
}

static __always_inline void emit_dns(const struct state *state, struct socket_work *work, const void *payload,
                                     __u64 length) {
    const struct peer_key *key = &work->key;
    struct inet_address *server = &work->local;
    struct draft *draft = new_draft(RECORD_DNS, state);
    if (draft == NULL || payload == NULL) return;
    draft->record.dns.inode = key->inode;
    __builtin_memset(server, 0, sizeof(*server));
    server->family = key->family;
    server->port = key->port;
    if (key->family == FAMILY_INET) __builtin_memcpy(&server->v4, key->address, 4);
    else __builtin_memcpy(server->v6, key->address, 16);
    add_kernel_bytes(draft, 0, server, key->family == FAMILY_INET ? 16 : 28);
    begin_section(draft);
    length = at_most(DNS_LIMIT, length);
    if (bpf_probe_read_user(free_space(draft), length, payload) == 0) take_space(draft, length);
    end_section(draft, 1, SECTION_BYTES, 0);
    emit(draft);
}

/* Counts one message of the socket in `work`; `payload` is where it lies, when that is known. */
__noinline int count_socket_io(__u64 bytes, __u32 sends, __u64 destination_address, __u64 payload_address) {
    const void *destination = (const void *)destination_address, *payload = (const void *)payload_address;
    struct state *state = current_state();
    struct socket_work *work = socket_work();
    if (state == NULL || work == NULL) return 0;
    make_peer_key(work, state, destination);
    struct peer_value *value = bpf_map_lookup_elem(&peers, &work->key);
    if (value == NULL) value = new_peer(state, &work->socket, &work->key, destination);
    if (sends && work->key.port == bpf_htons(PORT_DNS) && payload != NULL) emit_dns(state, work, payload, bytes);
    if (value == NULL) return 0;
    if (sends) {
        ADD(value->sends, 1);
        ADD(value->bytes_sent, bytes);
    } else {
        ADD(value->receives, 1);
        ADD(value->bytes_received, bytes);
    }
    return 0;
}

static __always_inline void count_message(const struct socket_work *work, __u64 bytes, bool sends) {
    const struct user_message *message = &work->message;
    __u64 part[2] = {};
    __u64 destination = sends ? message->name : 0, payload = 0;
    /* Of a message in several parts only the first is looked at. */
    if (sends && message->vector_length > 0 &&
        bpf_probe_read_user(part, sizeof(part), (void *)message->vector) == 0 && part[1] >= bytes)
        payload = part[0];
    count_socket_io(bytes, sends, destination, payload);
}

static __always_inline int count_messages(struct socket_work *work, const void *messages, long count, bool sends) {
    for (int i = 0; i < MESSAGES_LOOKED_AT; i++) {
        if (i >= count) return 0;
        if (bpf_probe_read_user(&work->message, sizeof(work->message), messages + i * sizeof(work->message)) != 0) {
            note_gap(GAP_UNREADABLE);
            return 0;
        }
        count_message(work, work->message.length, sends);
    }
    if (count > MESSAGES_LOOKED_AT) ADD(counters.gaps[GAP_BATCH], (__u64)(count - MESSAGES_LOOKED_AT));
    return 0;
}

/* Counts a call that sends or receives messages; its socket is the one in `work`. */
static __always_inline int count_message_call(struct pt_regs *regs, struct socket_work *work, long result) {
    bool sends = true;
    switch (regs->orig_ax) {
    case CALL_SENDTO:
        return count_socket_io((__u64)result, true, regs->r8, regs->si);
    case CALL_RECVFROM:
        return count_socket_io((__u64)result, false, 0, 0);
    case CALL_RECVMSG:
    case CALL_RECVMMSG:
        sends = false;
    }
    if (regs->orig_ax == CALL_SENDMMSG || regs->orig_ax == CALL_RECVMMSG)
        return count_messages(work, (const void *)regs->si, result, sends);
    if (bpf_probe_read_user(&work->message, 56, (void *)regs->si) != 0) note_gap(GAP_UNREADABLE);
    count_message(work, (__u64)result, sends);
    return 0;
}

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
