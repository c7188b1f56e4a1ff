#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void output_init(struct output *output, int fd) {
    memset(output, 0, sizeof(*output));
    output->fd = fd;
    backlog_init(&output->backlog, OUTPUT_BACKLOG);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void output_free(struct output *output) {
    backlog_free(&output->backlog);
}

bool output_waits(const struct output *output) {
    return output->backlog.used > 0;
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

/* False when nothing can be written now, or never more. */
static bool write_some(struct output *output, const uint8_t *bytes, size_t length, size_t *written) {
    ssize_t count;
    do count = write(output->fd, bytes, length);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno != EAGAIN) output->broken = true;
    *written = count > 0 ? (size_t)count : 0;
    return count > 0;
}

void output_send(struct output *output) {
    const uint8_t *bytes;
    size_t written;
    while (!output->broken && output_waits(output)) {
        size_t length = backlog_front(&output->backlog, &bytes);
        if (!write_some(output, bytes, length, &written)) return;
        backlog_drop(&output->backlog, written);
    }
}

static void wait_for_reader(struct output *output) {
    struct pollfd writable = {.fd = output->fd, .events = POLLOUT};
    if (poll(&writable, 1, -1) < 0 && errno != EINTR) output->broken = true;
    if (writable.revents & POLLERR) output->broken = true;
}

/* How many of the bytes went on: to the reader, as long as nothing older waits, or to the backlog. */
static size_t pass_on(struct output *output, const uint8_t *bytes, size_t length) {
    size_t written;
    output_send(output);
    if (!output_waits(output) && !output->broken && write_some(output, bytes, length, &written)) return written;
    return backlog_put(&output->backlog, bytes, length);
}

void output_flush(struct output *output) {
    size_t gone = 0;
    while (gone < output->used && !output->broken) {
        size_t length = pass_on(output, output->bytes + gone, output->used - gone);
        if (length == 0 && !output->broken) wait_for_reader(output);
        gone += length;
    }
    output->used = 0;
}

void output_finish(struct output *output) {
    output_flush(output);
    while (output_waits(output) && !output->broken) {
        wait_for_reader(output);
        output_send(output);
    }
}
