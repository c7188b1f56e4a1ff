/* What is done with each record of the kernel: who it belongs to, and the frames that come of it. */
#ifndef GLASSHOUSE_RECORDS_H
#define GLASSHOUSE_RECORDS_H

#include <stddef.h>

#include "gather.h"
#include "output.h"
#include "processes.h"

struct records {
    int files, peers; /* descriptors of the kernel's tables */
    bool gathers;
    struct output *output;
    struct processes processes;
    struct gather gather;
};

void records_init(struct records *records, struct output *output, int files, int peers, bool gathers);

/* For ring_buffer__new(); always returns 0. */
int records_take(void *records, void *data, size_t size);

/* Everything that was taken is in the output then. */
void records_flush(struct records *records);

/* The totals of processes whose end was not seen. */
void records_close_all(struct records *records);

void records_free(struct records *records);

#endif
