/* Bytes by peer, and questions to name servers. */
#ifndef GLASSHOUSE_TRAFFIC_BPF_H
#define GLASSHOUSE_TRAFFIC_BPF_H

#define PORT_DNS 53
#define MESSAGES_LOOKED_AT 8

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct peer_key);
    __type(value, struct peer_value);
} peers SEC(".maps");

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

#endif
