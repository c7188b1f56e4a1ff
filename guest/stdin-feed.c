#include "stdin-feed.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void stdin_feed_init(struct stdin_feed *feed) {
    feed->is_ending = false;
    feed->start = 0;
    feed->length = 0;
}

void stdin_feed_add(struct stdin_feed *feed, const uint8_t *bytes, uint32_t length) {
    memmove(feed->buffer, feed->buffer + feed->start, feed->length);
    feed->start = 0;
    memcpy(feed->buffer + feed->length, bytes, length);
    feed->length += length;
}

ssize_t stdin_feed_write(struct stdin_feed *feed, int fd) {
    ssize_t written;
    do {
        written = write(fd, feed->buffer + feed->start, feed->length);
    } while (written < 0 && errno == EINTR);
    if (written < 0) return errno == EAGAIN ? 0 : -1;
    feed->start += (size_t)written;
    feed->length -= (size_t)written;
    if (feed->length == 0) feed->start = 0;
    return written;
}
