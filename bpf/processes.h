/*
 * The living processes and which entries of the kernel's tables are theirs. It is what keeps those tables small: when a
 * process ends, its entries are read, reported and taken out.
 */
#ifndef GLASSHOUSE_PROCESSES_H
#define GLASSHOUSE_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

struct tracked_file {
    struct file_key key;
    uint64_t number;
    bool is_known; /* a frame with its number has been sent */
    uint64_t batch; /* of gathering, that last_use is of */
    uint32_t last_use;
    struct tracked_file *next; /* in the bucket */
    struct tracked_file *sibling; /* of the same process */
};

struct tracked_peer {
    struct peer_key key;
    struct tracked_peer *sibling;
};

struct process {
    uint64_t birth;
    uint32_t pid;
    struct tracked_file *files;
    struct tracked_peer *peers;
    uint64_t batch; /* of gathering, that place is of */
    uint32_t place;
    struct process *next;
};

#define PROCESS_BUCKETS 4096
#define FILE_BUCKETS 16384

struct processes {
    size_t count;
    uint64_t last_file;
    struct process *buckets[PROCESS_BUCKETS];
    struct tracked_file *files[FILE_BUCKETS];
};

/* The process; it is added when it is new. NULL when there is no memory. */
struct process *processes_get(struct processes *processes, uint64_t birth, uint32_t pid);

/* NULL when it is not there. */
struct process *processes_find(struct processes *processes, uint64_t birth, uint32_t pid);

/* A file of a process, a new one with a new number when the key is new; NULL when there is no memory. */
struct tracked_file *processes_add_file(struct processes *processes, const struct file_key *key);
/* Returns false when there is no memory. A peer that is there already is not added again. */
bool processes_add_peer(struct processes *processes, const struct peer_key *key);

/* Frees a process and what is tracked for it. */
void processes_remove(struct processes *processes, struct process *process);

/* Any process, for the end. */
struct process *processes_any(struct processes *processes);

#endif
