#include "output.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void output_init(struct output *output, int fd) {
    memset(output, 0, sizeof(*output));
    output->fd = fd;
}

void output_begin(struct output *output) {
    if (sizeof(output->bytes) - output->used < FRAME_MAX_BYTES) output_flush(output);
    output->payload = output->used + FRAME_HEADER_BYTES;
    output->used = output->payload;
}

void output_end(struct output *output, uint16_t type) {
    uint32_t length = (uint32_t)(output->used - output->payload);
    frame_encode_header(output->bytes + output->payload - FRAME_HEADER_BYTES, type, output->sequence, length);
    output->sequence++;
    if (type < FRAME_TYPES) output->sent[type]++;
}

void output_put(struct output *output, const void *bytes, size_t length) {
    size_t room = FRAME_MAX_PAYLOAD - (output->used - output->payload);
    if (length > room) length = room;
    memcpy(output->bytes + output->used, bytes, length);
    output->used += length;
}

void output_put_u16(struct output *output, uint16_t value) {
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    output_put(output, bytes, sizeof(bytes));
}

void output_put_u32(struct output *output, uint32_t value) {
    uint8_t bytes[4];
    put_u32(bytes, value);
    output_put(output, bytes, sizeof(bytes));
}

void output_put_u64(struct output *output, uint64_t value) {
    uint8_t bytes[8];
    put_u64(bytes, value);
    output_put(output, bytes, sizeof(bytes));
}

void output_put_text(struct output *output, const void *bytes, size_t length, uint16_t flags) {
    output_put_u16(output, (uint16_t)length);
    output_put_u16(output, flags);
    output_put(output, bytes, length);
}

/* False when the reader is gone. */
static bool write_all(int fd, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
            continue;
        }
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno != EAGAIN) return false;
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        if (poll(&writable, 1, -1) < 0 && errno != EINTR) return false;
        if (writable.revents & POLLERR) return false;
    }
    return true;
}

void output_flush(struct output *output) {
    if (!output->broken && !write_all(output->fd, output->bytes, output->used)) output->broken = true;
    output->used = 0;
}
