/*
 * What copy-monitor asks of a template, over a Unix socket of type SOCK_SEQPACKET: one request with descriptors, then
 * answers. The copy holds the template's end of the connection too, so the answers are hostile once it runs.
 */
#ifndef GLASSHOUSE_TEMPLATE_PROTOCOL_H
#define GLASSHOUSE_TEMPLATE_PROTOCOL_H

#include <stdint.h>

#define COPIED_FDS_MAX 8

struct copy_request {
    /* The user and group that the copy becomes; 0: it stays who the template is. */
    uint32_t owner;
    uint32_t fd_count;
    /* For each descriptor: the number at which the template has inherited what the copy has this for. */
    int32_t replaces[COPIED_FDS_MAX];
};

enum copy_event { COPY_RUNS = 1, COPY_FAILED = 2, COPY_EXITED = 3, COPY_KILLED = 4 };

struct copy_answer {
    uint32_t event;
    /* Process id; errno; exit code; number of the signal. */
    int32_t value;
};

#endif
