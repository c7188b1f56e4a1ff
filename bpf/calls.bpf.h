/* Numbers of x86-64's own ABI for the calls whose arguments are looked at by number. */
#ifndef GLASSHOUSE_CALLS_BPF_H
#define GLASSHOUSE_CALLS_BPF_H

#define CALL_READ 0
#define CALL_WRITE 1
#define CALL_PREAD64 17
#define CALL_PWRITE64 18
#define CALL_READV 19
#define CALL_WRITEV 20
#define CALL_RT_SIGRETURN 15
#define CALL_MMAP 9
#define CALL_SENDFILE 40
#define CALL_CONNECT 42
#define CALL_SENDTO 44
#define CALL_RECVFROM 45
#define CALL_SENDMSG 46
#define CALL_RECVMSG 47
#define CALL_BIND 49
#define CALL_LISTEN 50
#define CALL_CLONE 56
#define CALL_FORK 57
#define CALL_VFORK 58
#define CALL_CREAT 85
#define CALL_OPENAT 257
#define CALL_OPEN_BY_HANDLE_AT 304
#define CALL_PREADV 295
#define CALL_PREADV2 327
#define CALL_IO_URING_SETUP 425
#define CALL_SPLICE 275
#define CALL_COPY_FILE_RANGE 326
#define CALL_RECVMMSG 299
#define CALL_SENDMMSG 307
#define CALL_CLONE3 435
#define CALL_OPENAT2 437

/* BPF_CORE_READ would take fields of our own structures in `object` for the kernel's. */
#define READ(object, ...) \
    ({ \
        typeof(object) object_ = (object); \
        BPF_CORE_READ(object_, __VA_ARGS__); \
    })

static __always_inline bool is_error(long result) {
    return result < 0 && result >= -4095;
}

/* The kernel starts the call again (ERESTARTSYS and its kin): it will be seen again. */
static __always_inline bool is_restarted(long result) {
    return result <= -512 && result >= -516;
}

#endif
