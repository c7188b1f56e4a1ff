/* The command line of the observer (docs/observer-link.md). */
#ifndef GLASSHOUSE_OPTIONS_H
#define GLASSHOUSE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    uint32_t ring_bytes;
    uint32_t file_records;
    uint32_t peer_records;
    uint32_t argv_bytes;
    uint32_t gather_ms; /* 0: every event comes as a frame of its own */
    uint32_t first_way; /* enum way of objects.h: those before it are not tried */
};

/* False, with a message on stderr, for anything that is not documented. */
bool options_parse(struct options *options, int argc, char **argv);

#endif
