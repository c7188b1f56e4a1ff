/*
 * What the BPF programs and the observer share: settings, counters, map keys, and the records in the ring buffer.
 * Both are built from the same tree and run on the same machine: plain structures, no wire format.
 */
#ifndef GLASSHOUSE_RECORD_H
#define GLASSHOUSE_RECORD_H

#include <linux/types.h>

#define PATH_LIMIT 4096
#define ARGV_CHUNK 4096
#define MAX_ARGV_CHUNKS 32
#define DNS_LIMIT 512
#define ADDRESS_LIMIT 128
#define MAX_SECTIONS 8 /* a power of two */
#define DATA_LIMIT 16384 /* a power of two, more than two paths and two texts; a value per CPU has 32 KiB at most */

/* Types of records are those of the frames that they become (docs/observer-link.md). */
enum record_type {
    RECORD_PROCESS = 67,
    RECORD_EXEC = 68,
    RECORD_ARGV = 69,
    RECORD_PROCESS_END = 70,
    RECORD_FILE = 71,
    RECORD_OPEN_FAILED = 73,
    RECORD_CHANGE = 74,
    RECORD_SOCKET = 75,
    RECORD_DNS = 77,
    RECORD_NOTABLE = 78,
};
#define FIRST_RECORD RECORD_PROCESS
#define RECORD_TYPES 16

enum gap {
    GAP_TRUNCATED = 1,
    GAP_UNREADABLE,
    GAP_UNRESOLVED,
    GAP_FOREIGN_ABI,
    GAP_FILE_TABLE_FULL,
    GAP_PEER_TABLE_FULL,
    GAP_UNTRACKED,
    GAP_PRIVILEGED,
    GAP_ARGV,
    GAP_IO_URING,
    GAP_BEFORE_ATTACH,
    GAP_BATCH,
    GAP_MISSED,
    GAPS,
};

enum section_kind { SECTION_NONE, SECTION_PATH, SECTION_TEXT, SECTION_BYTES };

/* Flags of path and text, as in the frames. */
#define TEXT_TRUNCATED 1
#define TEXT_DELETED 2
#define TEXT_CHROOT 4
#define TEXT_NAMESPACE 8
#define TEXT_DETACHED 16
#define TEXT_UNRESOLVED 32

/* A part of a record's data. The bytes of a path are its components, last one first, each ended by a NUL. */
struct section {
    __u16 length;
    __u8 kind;
    __u8 flags;
};

struct file_key {
    __u64 birth;
    __u64 dentry;
    __u64 mount;
    __u64 inode;
    __u64 name_hash;
    __u32 pid;
    __u32 access;
};

struct file_value {
    __u64 opens, reads, writes, bytes_read, bytes_written;
    __u32 generation;
    __u32 mapped;
};

struct peer_key {
    __u64 birth;
    __u64 inode;
    __u8 address[16];
    __u32 pid;
    __u16 family;
    __u16 port; /* network order */
};

struct peer_value {
    __u64 sends, receives, bytes_sent, bytes_received;
    __u64 type;
};

struct usage {
    __u64 cpu, user, system, rchar, wchar, read_bytes, write_bytes;
};

struct record {
    __u64 time;
    __u64 birth;
    __u32 pid;
    __u32 tid;
    __u16 type;
    __u16 reserved;
    __u32 data_bytes;
    struct section sections[MAX_SECTIONS];
    union {
        struct {
            __u64 parent_birth;
            __u32 parent_pid;
            __u32 namespace_pid;
            __u32 flags;
        } process;
        struct {
            __u32 flags;
            __u32 real_uid;
            __u32 effective_uid;
            __u32 argv_bytes;
        } exec;
        struct {
            __u32 wait_status;
            __u32 flags;
            __u32 threads;
            __u32 reserved;
            __u64 max_rss_pages;
            struct usage usage;
        } end;
        struct {
            struct file_key key;
            __u32 tracked;
            __u32 device;
            __u32 mode;
            __u32 flags;
            __u32 how;
        } file;
        struct {
            __u32 error;
            __u32 flags;
        } open_failed;
        struct {
            __u32 operation;
            __u32 error;
            __u64 detail;
        } change;
        struct {
            struct peer_key key;
            __u32 tracked;
            __u32 operation;
            __u32 error;
            __u16 family;
            __u16 type;
            __u32 protocol;
        } socket;
        struct {
            __u64 inode;
        } dns;
        struct {
            __s64 result;
            __u64 arguments[6];
            __u16 number;
        } notable;
    };
};

#define CALLS_PER_ABI 1024
#define CALL_OUT_OF_RANGE (CALLS_PER_ABI - 1)
#define ABIS 3
enum abi { ABI_NATIVE, ABI_I386, ABI_X32 };

struct call_count {
    __u64 calls, failed, eperm, eacces;
};

#define STATE_HELD 1 /* the first process, before it executes the command */

/* What is known of a followed thread; process-wide figures are in its leader's. */
struct state {
    __u64 birth;
    __u32 pid;
    __u32 flags;
    __u32 threads;
    __u32 padding;
    __u64 rss_before; /* peak from before the last exec, in pages */
    struct usage before; /* what the first process used before it became the command */
    struct usage usage; /* of its ended threads */
};

/* Calls beyond are counted only. */
#define HANDLERS 512
enum handler_kind { HANDLER_NONE, HANDLER_OPEN, HANDLER_IO, HANDLER_CHANGE, HANDLER_SOCKET, HANDLER_NOTABLE };

enum reader_state { READER_BUSY, READER_NAPS, READER_WAITS };

struct settings {
    __u64 wake_bytes; /* this much unread ends a nap of the reader */
    __u32 argv_chunks;
    __u32 follow_privileged;
    __u8 handlers[HANDLERS]; /* enum handler_kind, by number of the system call */
};

struct counters {
    __u32 reader;
    __u32 generation; /* of names: any rename or mount makes known paths doubtful */
    __u64 alive;
    __u64 processes;
    __u64 threads;
    __u64 max_rss_pages;
    struct usage usage;
    __u64 lost[RECORD_TYPES];
    __u64 gaps[GAPS];
    /* where the first process was when it became the command */
    __u64 root_dentry, root_mount, mount_namespace, pid_namespace;
};

#endif
