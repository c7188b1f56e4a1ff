/* What the host has not read yet: bytes in the order in which they came, up to a limit. */
#ifndef GLASSHOUSE_BACKLOG_H
#define GLASSHOUSE_BACKLOG_H

#include <stddef.h>
#include <stdint.h>

struct backlog {
    uint8_t *bytes; /* address space; memory only where it is in use */
    size_t limit;
    size_t head, used;
    size_t touched; /* from the beginning on: what may have memory */
};

/* No memory is taken before something is put. */
void backlog_init(struct backlog *backlog, size_t limit);
void backlog_free(struct backlog *backlog);

/* How many of the bytes were taken: fewer when there is no room. */
size_t backlog_put(struct backlog *backlog, const uint8_t *bytes, size_t length);

/* The oldest bytes, as many as lie in one piece. */
size_t backlog_front(const struct backlog *backlog, const uint8_t **bytes);
void backlog_drop(struct backlog *backlog, size_t length);

#endif
