/* Turns the kernel's records and tables into frames (docs/observer-link.md). */
#ifndef GLASSHOUSE_REPORT_H
#define GLASSHOUSE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "output.h"
#include "record.h"

#define FRAME_LOADED 64
#define FRAME_ATTACHED 65
#define FRAME_FAILED 66
#define FRAME_FILE_TOTALS 72
#define FRAME_PEER_TOTALS 76
#define FRAME_HEARTBEAT 79
#define FRAME_SYSCALLS 80
#define FRAME_END_OF_TREE 81
#define FRAME_DOERS 82
#define FRAME_FILE_SUM 83
#define FRAME_OPEN_FAILED_SUM 84
#define OBSERVER_PROTOCOL_VERSION 1
#define SYSCALL_ENTRIES_MAX 1024
#define SHARES_MAX 4096

/* What a sum of files is of. */
#define SUM_READ 1
#define SUM_WRITTEN 2
#define SUM_CREATED 4
#define SUM_REGULAR 8

enum stage { STAGE_START = 1, STAGE_LOAD, STAGE_ATTACH, STAGE_FOLLOW };
enum why { WHY_ENDED = 1, WHY_STOPPED };

struct owner {
    uint64_t time, birth;
    uint32_t pid, tid;
};

/* A RECORD_FILE without its path. */
struct used_file {
    uint64_t number, inode;
    uint32_t device, mode, flags, how;
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t monotonic_ns(void);

void report_loaded(struct output *output, const struct options *options, const char *const *uses, size_t count);
void report_attached(struct output *output, uint32_t pid);
void report_failed(struct output *output, enum stage stage, int error, const char *reason, const char *detail);

/* Whether `size` bytes at `record` are a record with sections that lie inside its data. */
bool record_is_whole(const struct record *record, size_t size);

/* Writes the frame of a whole record; `file_number` is for RECORD_FILE. */
void report_record(struct output *output, const struct record *record, uint64_t file_number);

struct owner owner_of(const struct record *record);
void report_put_head(struct output *output, const struct owner *owner);

/* The same frame as of a RECORD_FILE. */
struct used_file used_file_of(const struct record *record, uint64_t number);
void report_used_file(struct output *output, const struct owner *owner, const struct used_file *used,
                      const uint8_t *path, size_t length, uint16_t flags);
void report_file_totals(struct output *output, const struct owner *owner, uint64_t number,
                        const struct file_value *value);
void report_peer_totals(struct output *output, const struct owner *owner, const struct peer_key *key,
                        const struct peer_value *value);
/* Everything that happened before `time` has been reported. */
void report_heartbeat(struct output *output, const struct counters *counters, uint64_t time);
/* `counts` has CALLS_PER_ABI * ABIS entries. */
void report_syscalls(struct output *output, const struct call_count *counts);
void report_end(struct output *output, enum why why, const struct counters *counters);

#endif
