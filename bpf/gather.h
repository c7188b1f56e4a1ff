/*
 * Adds up which files were opened: one frame for a path, instead of several for every process that opened it
 * (docs/observer-link.md, "Gathering"). Glasshouse takes thousands of instructions to read a frame, in a program that
 * has just started, on the processors that the command runs on; here a record takes some hundred.
 *
 * What a process does that outlives a batch comes as single frames: its totals are not known yet.
 */
#ifndef GLASSHOUSE_GATHER_H
#define GLASSHOUSE_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output.h"
#include "processes.h"
#include "record.h"
#include "report.h"

#define GATHER_TEXTS 4096
#define GATHER_TEXT_BYTES (1u << 20)
#define GATHER_BUCKETS 8192
#define GATHER_USES 8192
#define GATHER_SUMS 16384
#define GATHER_SHARES 32768
#define GATHER_DOERS 1024
#define GATHER_ENDS 1024

/* Everywhere 0 is "none": the first entry of each table is not used. */

/* A path with its flags. */
struct gathered_text {
    uint64_t hash;
    uint32_t at;
    uint16_t length;
    uint16_t flags;
    uint32_t next; /* in the bucket */
    uint32_t sums;
};

/* What is added up for a path: by whom, and what. */
struct gathered_sum {
    uint64_t bytes_read, bytes_written;
    uint16_t type; /* of the frame */
    uint16_t error;
    uint32_t sides;
    uint32_t text;
    uint32_t next; /* of the same path */
    uint32_t first_share, last_share;
};

struct gathered_share {
    uint32_t place, times, next;
};

/* An open of a process whose totals are not known yet. */
struct gathered_use {
    struct tracked_file *file; /* NULL: dealt with */
    struct owner owner;
    struct used_file used;
    uint32_t text;
    uint32_t earlier; /* of the same file */
};

struct gather {
    uint64_t batch;
    uint32_t events; /* the frames that the sums stand for */
    uint32_t text_bytes, texts, uses, sums, shares, doers, ends;
    uint32_t buckets[GATHER_BUCKETS];
    struct gathered_text text[GATHER_TEXTS];
    struct gathered_sum sum[GATHER_SUMS];
    struct gathered_share share[GATHER_SHARES];
    struct gathered_use use[GATHER_USES];
    struct owner doer[GATHER_DOERS];
    struct record end[GATHER_ENDS];
    uint8_t bytes[GATHER_TEXT_BYTES];
};

void gather_init(struct gather *gather);

/* Whether there is room for whatever one more record may need; if not, it is time for gather_flush(). */
bool gather_has_room(const struct gather *gather);

/* A RECORD_FILE of a file that is tracked. */
void gather_file(struct gather *gather, const struct record *record, struct tracked_file *file);
/* A RECORD_OPEN_FAILED. */
void gather_failed_open(struct gather *gather, const struct record *record, struct process *process);
/* A RECORD_PROCESS_END: its frame comes behind what the process did. */
void gather_end(struct gather *gather, const struct record *record);

/* The process of `file` has ended with these totals, or `value` is NULL: there are none. The file is forgotten then. */
void gather_totals(struct gather *gather, struct output *output, struct process *process, const struct owner *owner,
                   struct tracked_file *file, const struct file_value *value);

/* Writes all of it and begins anew. */
void gather_flush(struct gather *gather, struct output *output);

#endif
