/*
 * Frames of the guest link (docs/guest-link.md), the part that touches no file descriptor.
 */
#ifndef GLASSHOUSE_FRAME_H
#define GLASSHOUSE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 12
#define FRAME_MAX_PAYLOAD 65536
#define FRAME_MAX_BYTES (FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD)
#define LINK_PROTOCOL_VERSION 4

enum frame_type {
    /* host to guest */
    FRAME_CLOCK = 1,
    FRAME_ENTROPY = 2,
    FRAME_LIMITS = 3,
    FRAME_ARGUMENT = 4,
    FRAME_ENVIRONMENT = 5,
    FRAME_FILE = 6,
    FRAME_FILE_DATA = 7,
    FRAME_START = 8,
    FRAME_STDIN = 9,
    FRAME_STDIN_END = 10,
    FRAME_SIGNAL = 11,
    FRAME_KILL = 12,
    FRAME_HOLD = 13,
    FRAME_REHEARSE = 14,
    FRAME_RELEASE = 15,
    /* guest to host */
    FRAME_HELLO = 64,
    FRAME_STARTED = 65,
    FRAME_START_FAILED = 66,
    FRAME_STDOUT = 67,
    FRAME_STDERR = 68,
    FRAME_STDIN_CREDIT = 69,
    FRAME_EXITED = 70,
    FRAME_OUTPUT_FILE = 71,
    FRAME_OUTPUT_DATA = 72,
    FRAME_OUTPUT_END = 73,
    FRAME_HELD = 74,
    FRAME_REHEARSED = 75,
};

struct frame {
    uint16_t type;
    uint32_t sequence;
    uint32_t length;
    const uint8_t *payload; /* points into the caller's buffer */
};

enum frame_status {
    FRAME_COMPLETE,
    FRAME_INCOMPLETE, /* more bytes are needed */
    FRAME_TOO_LONG,
    FRAME_RESERVED_NOT_ZERO,
};

/*
 * Reads one frame from the start of `bytes`. On FRAME_COMPLETE the frame occupies
 * FRAME_HEADER_BYTES + frame->length bytes. Type and sequence are the caller's to judge.
 */
enum frame_status frame_decode(const uint8_t *bytes, size_t length, struct frame *frame);

/* Writes the header for a payload of `length` bytes (at most FRAME_MAX_PAYLOAD). */
void frame_encode_header(uint8_t header[FRAME_HEADER_BYTES], uint16_t type, uint32_t sequence, uint32_t length);

uint32_t get_u32(const uint8_t *bytes);
uint64_t get_u64(const uint8_t *bytes);
void put_u32(uint8_t *bytes, uint32_t value);
void put_u64(uint8_t *bytes, uint64_t value);

#endif
