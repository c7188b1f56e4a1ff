#include "frame.h"

uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint64_t get_u64(const uint8_t *bytes) {
    return (uint64_t)get_u32(bytes) | (uint64_t)get_u32(bytes + 4) << 32;
}

void put_u32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

void put_u64(uint8_t *bytes, uint64_t value) {
    put_u32(bytes, (uint32_t)value);
    put_u32(bytes + 4, (uint32_t)(value >> 32));
}

static uint16_t get_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

enum frame_status frame_decode(const uint8_t *bytes, size_t length, struct frame *frame) {
    if (length < FRAME_HEADER_BYTES) return FRAME_INCOMPLETE;
    frame->length = get_u32(bytes);
    frame->type = get_u16(bytes + 4);
    frame->sequence = get_u32(bytes + 8);
    frame->payload = bytes + FRAME_HEADER_BYTES;
    if (frame->length > FRAME_MAX_PAYLOAD) return FRAME_TOO_LONG;
    if (get_u16(bytes + 6) != 0) return FRAME_RESERVED_NOT_ZERO;
    if (length - FRAME_HEADER_BYTES < frame->length) return FRAME_INCOMPLETE;
    return FRAME_COMPLETE;
}

void frame_encode_header(uint8_t header[FRAME_HEADER_BYTES], uint16_t type, uint32_t sequence, uint32_t length) {
    put_u32(header, length);
    header[4] = (uint8_t)type;
    header[5] = (uint8_t)(type >> 8);
    header[6] = 0;
    header[7] = 0;
    put_u32(header + 8, sequence);
}
