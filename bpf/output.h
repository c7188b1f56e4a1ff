/* Frames on their way to the host: collected, and written in large pieces. */
#ifndef GLASSHOUSE_OUTPUT_H
#define GLASSHOUSE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backlog.h"
#include "frame.h"

#define FRAME_TYPES 128
/* A host that shares busy processors with the command may not get its turn for a second or two. */
#define OUTPUT_BACKLOG (32u << 20)

struct output {
    int fd;
    bool broken; /* the reader is gone: everything after is thrown away */
    uint32_t sequence;
    uint64_t sent[FRAME_TYPES]; /* frames by type */
    size_t used;
    size_t payload; /* where the frame that is being written has its payload */
    uint8_t bytes[4 * FRAME_MAX_BYTES];
    struct backlog backlog; /* what was flushed and not read yet */
};

/* Writing to `fd` does not block from here on. */
void output_init(struct output *output, int fd);
void output_free(struct output *output);

/* Begins a frame; what is put until output_end() is its payload. */
void output_begin(struct output *output);
void output_end(struct output *output, uint16_t type);

/* What does not fit into a frame's payload any more is left out; the callers' payloads are bounded. */
void output_put(struct output *output, const void *bytes, size_t length);
void output_put_u16(struct output *output, uint16_t value);
void output_put_u32(struct output *output, uint32_t value);
void output_put_u64(struct output *output, uint64_t value);
/* `u16` length, `u16` flags, bytes */
void output_put_text(struct output *output, const void *bytes, size_t length, uint16_t flags);

/*
 * Lets what was put so far go. What the reader does not take now waits in the backlog. Blocks only while that is full:
 * what happens meanwhile waits in the ring buffer, and is counted when lost there.
 */
void output_flush(struct output *output);

/* Whether there is something to be sent when the reader takes more. */
bool output_waits(const struct output *output);
/* Writes of it what the reader takes now. */
void output_send(struct output *output);

/* Waits until the reader has taken everything, or is gone. */
void output_finish(struct output *output);

#endif
