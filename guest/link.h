/*
 * The guest's end of the guest link: frames over a non-blocking descriptor, with bounded buffers.
 */
#ifndef GLASSHOUSE_LINK_H
#define GLASSHOUSE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define LINK_OUT_BYTES (4 * FRAME_MAX_BYTES)

struct link {
    int fd;
    uint32_t next_sequence; /* of the frames we send */
    size_t in_length;
    size_t in_consumed;
    size_t out_start;
    size_t out_length;
    uint8_t in[2 * FRAME_MAX_BYTES];
    uint8_t out[LINK_OUT_BYTES];
};

enum link_status { LINK_OK, LINK_CLOSED, LINK_BROKEN_RULES };

/* Takes ownership of nothing: the descriptor stays the caller's. It must be non-blocking. */
void link_init(struct link *link, int fd);

/* Goes on over another descriptor, where the conversation was: sequences go on. Only for a link that is at rest. */
void link_rejoin(struct link *link, int fd);

/* True when neither side is in the middle of a frame: what was frozen here can go on elsewhere. */
bool link_is_at_rest(const struct link *link);

/* True when a frame with the longest payload can be queued now. */
bool link_has_room(const struct link *link);
bool link_has_output(const struct link *link);

/* Queues one frame; waits for the host to read when there is no room. False: the link is gone. */
bool link_send(struct link *link, uint16_t type, const uint8_t *payload, uint32_t length);

/* The same with a payload in two pieces. */
bool link_send2(struct link *link, uint16_t type, const uint8_t *head, uint32_t head_length, const uint8_t *tail,
                uint32_t tail_length);

/* Writes what the host takes now, without waiting. False: the link is gone. */
bool link_flush(struct link *link);

/* Waits until everything queued has been written. False: the link is gone. */
bool link_drain(struct link *link);

/* Reads what has arrived, without waiting. */
enum link_status link_fill(struct link *link);

/* Takes the next complete frame; its payload is valid until the next link_fill. False: none. */
bool link_next(struct link *link, struct frame *frame, enum link_status *status);

#endif
