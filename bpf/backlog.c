#define _GNU_SOURCE
#include "backlog.h"

#include <string.h>
#include <sys/mman.h>

/* So much memory is kept for the next time; more goes back when the host has caught up. */
#define KEPT (1u << 20)

void backlog_init(struct backlog *backlog, size_t limit) {
    *backlog = (struct backlog){.limit = limit};
}

void backlog_free(struct backlog *backlog) {
    if (backlog->bytes != NULL) munmap(backlog->bytes, backlog->limit);
    backlog_init(backlog, backlog->limit);
}

static int reserve(struct backlog *backlog) {
    if (backlog->bytes != NULL) return 1;
    void *memory = mmap(NULL, backlog->limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return 0;
    backlog->bytes = memory;
    return 1;
}

static size_t smaller(size_t left, size_t right) {
    return left < right ? left : right;
}

size_t backlog_put(struct backlog *backlog, const uint8_t *bytes, size_t length) {
    size_t taken = smaller(length, backlog->limit - backlog->used);
    if (taken == 0 || !reserve(backlog)) return 0;
    size_t at = (backlog->head + backlog->used) % backlog->limit;
    size_t first = smaller(taken, backlog->limit - at);
    memcpy(backlog->bytes + at, bytes, first);
    memcpy(backlog->bytes, bytes + first, taken - first);
    backlog->used += taken;
    if (at + first > backlog->touched) backlog->touched = at + first;
    return taken;
}

size_t backlog_front(const struct backlog *backlog, const uint8_t **bytes) {
    *bytes = backlog->bytes + backlog->head;
    return smaller(backlog->used, backlog->limit - backlog->head);
}

void backlog_drop(struct backlog *backlog, size_t length) {
    backlog->used -= length;
    backlog->head = (backlog->head + length) % backlog->limit;
    if (backlog->used > 0) return;
    backlog->head = 0;
    if (backlog->touched <= KEPT) return;
    madvise(backlog->bytes + KEPT, backlog->touched - KEPT, MADV_DONTNEED);
    backlog->touched = KEPT;
}
