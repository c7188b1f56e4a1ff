#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "light.h"
#include "observer.lskel.h"

/* Where the generated structure has what it has under a name. */
struct place {
    const char *name;
    size_t offset;
};

#define MAP(name) {#name, offsetof(struct observer_light, maps.name.map_fd)}
#define SECTION(name) {"." #name, offsetof(struct observer_light, maps.name.map_fd)}
#define PROGRAM(name) {#name, offsetof(struct observer_light, progs.name.prog_fd)}

static const struct place maps[] = {
    MAP(events), MAP(calls), MAP(files), MAP(peers), MAP(followed), SECTION(bss), {0},
};
static const struct place programs[] = {
    PROGRAM(on_fork), PROGRAM(on_exec), PROGRAM(on_exit), PROGRAM(on_socket_state), PROGRAM(on_sys_exit), {0},
};

static int descriptor(const struct observer_light *light, const struct place *places, const char *name) {
    for (; places->name != NULL; places++) {
        int fd;
        if (strcmp(places->name, name) != 0) continue;
        memcpy(&fd, (const char *)light + places->offset, sizeof(fd));
        return fd > 0 ? fd : -ENOENT;
    }
    return -ENOENT;
}

struct observer_light *light_load(const struct options *options, const struct settings *settings, int *error) {
    struct observer_light *light = observer_light__open();
    if (light == NULL) {
        *error = -ENOMEM;
        return NULL;
    }
    light->maps.events.max_entries = options->ring_bytes;
    light->maps.files.max_entries = options->file_records;
    light->maps.peers.max_entries = options->peer_records;
    light->rodata->settings = *settings;
    *error = observer_light__load(light);
    if (*error == 0) return light;
    light_close(light);
    return NULL;
}

int light_map(const struct observer_light *light, const char *name) {
    return descriptor(light, maps, name);
}

int light_program(const struct observer_light *light, const char *name) {
    return descriptor(light, programs, name);
}

void light_close(struct observer_light *light) {
    observer_light__destroy(light);
}
