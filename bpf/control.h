/* What the host says to the observer, taken apart byte by byte as it comes. */
#ifndef GLASSHOUSE_CONTROL_H
#define GLASSHOUSE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define CONTROL_FOLLOW 1
#define CONTROL_BYTES (FRAME_HEADER_BYTES + 4)

struct control {
    uint8_t bytes[CONTROL_BYTES];
    size_t length;
    uint32_t pid; /* 0 until `follow` has come */
};

enum control_status { CONTROL_WAITING, CONTROL_FOLLOWS, CONTROL_REFUSED };

/* Takes `length` bytes; CONTROL_FOLLOWS is returned once, when control->pid has become known. */
enum control_status control_take(struct control *control, const uint8_t *bytes, size_t length);

#endif
