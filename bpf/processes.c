#include "processes.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t value) {
    value ^= value >> 32;
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
}

static size_t process_bucket(uint64_t birth, uint32_t pid) {
    return mix(birth ^ (uint64_t)pid << 40) % PROCESS_BUCKETS;
}

static size_t file_bucket(const struct file_key *key) {
    return mix(key->birth ^ mix(key->dentry ^ mix(key->inode ^ key->access ^ (uint64_t)key->pid << 32))) % FILE_BUCKETS;
}

struct process *processes_find(struct processes *processes, uint64_t birth, uint32_t pid) {
    struct process *process = processes->buckets[process_bucket(birth, pid)];
    while (process != NULL && (process->birth != birth || process->pid != pid)) process = process->next;
    return process;
}

struct process *processes_get(struct processes *processes, uint64_t birth, uint32_t pid) {
    struct process *process = processes_find(processes, birth, pid);
    if (process != NULL) return process;
    process = calloc(1, sizeof(*process));
    if (process == NULL) return NULL;
    struct process **bucket = &processes->buckets[process_bucket(birth, pid)];
    process->birth = birth;
    process->pid = pid;
    process->next = *bucket;
    *bucket = process;
    processes->count++;
    return process;
}

struct tracked_file *processes_add_file(struct processes *processes, const struct file_key *key) {
    struct tracked_file **bucket = &processes->files[file_bucket(key)];
    for (struct tracked_file *file = *bucket; file != NULL; file = file->next)
        if (memcmp(&file->key, key, sizeof(*key)) == 0) return file;
    struct process *process = processes_get(processes, key->birth, key->pid);
    struct tracked_file *file = process == NULL ? NULL : calloc(1, sizeof(*file));
    if (file == NULL) return NULL;
    file->key = *key;
    file->number = ++processes->last_file;
    file->next = *bucket;
    *bucket = file;
    file->sibling = process->files;
    process->files = file;
    return file;
}

bool processes_add_peer(struct processes *processes, const struct peer_key *key) {
    struct process *process = processes_get(processes, key->birth, key->pid);
    if (process == NULL) return false;
    struct tracked_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL) return false;
    peer->key = *key;
    peer->sibling = process->peers;
    process->peers = peer;
    return true;
}

static void remove_file(struct processes *processes, struct tracked_file *file) {
    struct tracked_file **link = &processes->files[file_bucket(&file->key)];
    while (*link != file) link = &(*link)->next;
    *link = file->next;
    free(file);
}

void processes_remove(struct processes *processes, struct process *process) {
    while (process->files != NULL) {
        struct tracked_file *file = process->files;
        process->files = file->sibling;
        remove_file(processes, file);
    }
    while (process->peers != NULL) {
        struct tracked_peer *peer = process->peers;
        process->peers = peer->sibling;
        free(peer);
    }
    struct process **link = &processes->buckets[process_bucket(process->birth, process->pid)];
    while (*link != process) link = &(*link)->next;
    *link = process->next;
    processes->count--;
    free(process);
}

struct process *processes_any(struct processes *processes) {
    for (size_t i = 0; i < PROCESS_BUCKETS; i++)
        if (processes->buckets[i] != NULL) return processes->buckets[i];
    return NULL;
}
