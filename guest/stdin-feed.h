/* Bytes of stdin on their way to a program that does not read them yet. Credit bounds them (request.c refuses more). */
#ifndef GLASSHOUSE_STDIN_FEED_H
#define GLASSHOUSE_STDIN_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"

#define STDIN_WINDOW FRAME_MAX_PAYLOAD

struct stdin_feed {
    bool is_ending; /* the program's pipe closes once everything here is in it */
    size_t start;
    size_t length;
    uint8_t buffer[STDIN_WINDOW];
};

void stdin_feed_init(struct stdin_feed *feed);
void stdin_feed_add(struct stdin_feed *feed, const uint8_t *bytes, uint32_t length);

/* Writes to a pipe that does not block. How many bytes it took; 0: none now; -1: its reader is gone. */
ssize_t stdin_feed_write(struct stdin_feed *feed, int fd);

#endif
