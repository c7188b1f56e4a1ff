#include "link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void link_init(struct link *link, int fd) {
    memset(link, 0, sizeof(*link));
    link->fd = fd;
}

void link_rejoin(struct link *link, int fd) {
    link->fd = fd;
}

bool link_is_at_rest(const struct link *link) {
    return link->in_length == link->in_consumed && link->out_length == 0;
}

bool link_has_room(const struct link *link) {
    return LINK_OUT_BYTES - link->out_length >= FRAME_MAX_BYTES;
}

bool link_has_output(const struct link *link) {
    return link->out_length > 0;
}

bool link_flush(struct link *link) {
    while (link->out_length > 0) {
        ssize_t written = write(link->fd, link->out + link->out_start, link->out_length);
        if (written < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN;
        }
        link->out_start += (size_t)written;
        link->out_length -= (size_t)written;
    }
    link->out_start = 0;
    return true;
}

static bool wait_until_writable(struct link *link) {
    struct pollfd poll_fd = {.fd = link->fd, .events = POLLOUT};
    while (poll(&poll_fd, 1, -1) < 0) {
        if (errno != EINTR) return false;
    }
    return (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

bool link_drain(struct link *link) {
    while (link_flush(link)) {
        if (link->out_length == 0) return true;
        if (!wait_until_writable(link)) return false;
    }
    return false;
}

static void append(struct link *link, const uint8_t *bytes, size_t length) {
    if (length == 0) return;
    memcpy(link->out + link->out_start + link->out_length, bytes, length);
    link->out_length += length;
}

bool link_send2(struct link *link, uint16_t type, const uint8_t *head, uint32_t head_length, const uint8_t *tail,
                uint32_t tail_length) {
    while (!link_has_room(link)) {
        if (!link_flush(link)) return false;
        if (!link_has_room(link) && !wait_until_writable(link)) return false;
    }
    /* The buffer is a window that only moves forward; slide it back when its end is near. */
    if (link->out_start > 0) {
        memmove(link->out, link->out + link->out_start, link->out_length);
        link->out_start = 0;
    }
    uint8_t header[FRAME_HEADER_BYTES];
    frame_encode_header(header, type, link->next_sequence++, head_length + tail_length);
    append(link, header, sizeof(header));
    append(link, head, head_length);
    append(link, tail, tail_length);
    return true;
}

bool link_send(struct link *link, uint16_t type, const uint8_t *payload, uint32_t length) {
    return link_send2(link, type, payload, length, NULL, 0);
}

enum link_status link_fill(struct link *link) {
    if (link->in_consumed > 0) {
        memmove(link->in, link->in + link->in_consumed, link->in_length - link->in_consumed);
        link->in_length -= link->in_consumed;
        link->in_consumed = 0;
    }
    while (link->in_length < sizeof(link->in)) {
        ssize_t got = read(link->fd, link->in + link->in_length, sizeof(link->in) - link->in_length);
        if (got == 0) return LINK_CLOSED;
        if (got < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN ? LINK_OK : LINK_CLOSED;
        }
        link->in_length += (size_t)got;
    }
    return LINK_OK;
}

bool link_next(struct link *link, struct frame *frame, enum link_status *status) {
    *status = LINK_OK;
    switch (frame_decode(link->in + link->in_consumed, link->in_length - link->in_consumed, frame)) {
    case FRAME_COMPLETE:
        link->in_consumed += FRAME_HEADER_BYTES + frame->length;
        return true;
    case FRAME_INCOMPLETE:
        return false;
    default:
        *status = LINK_BROKEN_RULES;
        return false;
    }
}
