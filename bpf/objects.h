/* Loading the compiled programs and their maps, in the quickest way that the kernel takes. */
#ifndef GLASSHOUSE_OBJECTS_H
#define GLASSHOUSE_OBJECTS_H

#include <stdbool.h>

#include "options.h"

struct bpf_object;
struct observer_light;

enum way {
    WAY_LIGHT, /* the kernel fits the programs to itself, from Linux 5.17 on: nobody has to read its types */
    WAY_LIBBPF,
    WAY_EARLY, /* libbpf, and the variant for kernels without task storage and bpf_loop */
    WAYS,
};

struct objects {
    struct observer_light *light; /* of WAY_LIGHT, otherwise null */
    struct bpf_object *object;    /* of the others */
};

/* Returns 0 or a negative errno; to be closed in both cases. */
int objects_load(struct objects *objects, enum way way, const struct options *options, bool follow_privileged);

/* The end of what libbpf said about what went wrong; nobody says anything about WAY_LIGHT. */
const char *objects_message(void);

/* The descriptor of a map; negative when there is none. */
int objects_map(const struct objects *objects, const char *name);

/* The descriptor of a program; negative when there is none. */
int objects_program(const struct objects *objects, const char *name);

void objects_close(struct objects *objects);

#endif
