/* What a socket is, and its addresses. */
#ifndef GLASSHOUSE_SOCKETS_BPF_H
#define GLASSHOUSE_SOCKETS_BPF_H

#define FAMILY_UNIX 1
#define FAMILY_INET 2
#define FAMILY_INET6 10

enum socket_operation { SOCKET_CONNECT = 1, SOCKET_BIND, SOCKET_LISTEN, SOCKET_ACCEPT, SOCKET_TRAFFIC, SOCKET_OUTCOME };

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

#endif
