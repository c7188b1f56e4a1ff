/* Loading and attaching the BPF programs, and their maps. */
#ifndef GLASSHOUSE_PROGRAMS_H
#define GLASSHOUSE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "objects.h"
#include "options.h"
#include "record.h"
#include "report.h"

#define MAX_LINKS 8
#define MAX_USES 16

struct programs {
    struct objects objects;
    int links[MAX_LINKS]; /* descriptors */
    size_t link_count;
    uid_t started_by; /* the real user before privileges were dropped */
    bool early; /* the variant for kernels without task storage and bpf_loop */
    struct counters *counters; /* shared with the kernel */
    int events, calls, files, peers, followed; /* descriptors of maps, owned by the objects */
    const char *uses[MAX_USES];
    size_t use_count;
};

/* Why it did not work, in the words of docs/observer-link.md. */
struct failure {
    enum stage stage;
    int error;
    const char *reason;
    char detail[1024];
};

bool programs_load(struct programs *programs, const struct options *options, bool follow_privileged,
                   struct failure *failure);
bool programs_attach(struct programs *programs, struct failure *failure);

/* Follows a process that waits before its exec. */
bool programs_follow(struct programs *programs, uint32_t pid, struct failure *failure);

/* How often the kernel left out a program because it was running on that processor already. */
uint64_t programs_missed(const struct programs *programs);

void programs_detach(struct programs *programs);
void programs_free(struct programs *programs);

#endif
