/* Loading the compiled programs: the maps first, then the programs in two threads, for the verifier takes its time. */
#ifndef GLASSHOUSE_OBJECTS_H
#define GLASSHOUSE_OBJECTS_H

#include <stdbool.h>

#include "options.h"

#define PARTS 2

struct bpf_object;
struct bpf_program;

struct objects {
    struct bpf_object *maps;         /* has all maps, and no program is loaded from it */
    struct bpf_object *parts[PARTS]; /* each has some of the programs, and uses the maps of the first */
};

/* `early`: the variant for kernels without task storage and bpf_loop. Returns 0 or a negative errno. */
int objects_load(struct objects *objects, bool early, const struct options *options, bool follow_privileged);

/* The end of what libbpf said about what went wrong. */
const char *objects_message(void);

/* The descriptor of a map. */
int objects_map(const struct objects *objects, const char *name);

/* Null when there is none. */
struct bpf_program *objects_program(const struct objects *objects, const char *name);

void objects_close(struct objects *objects);

#endif
