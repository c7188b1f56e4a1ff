#define _GNU_SOURCE
#include "objects.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "handlers.h"
#include "light.h"
#include "record.h"
#include "skeletons.h"

#define MESSAGE_LIMIT 65536

/* --- what libbpf says --- */

/* The end of what libbpf says, for the failure's detail. */
static char last_message[512];
/* Whether there is another variant to try: then nobody needs to read why the first one was refused. */
static bool another_to_try;

static void keep_message(const char *line) {
    static size_t written;
    size_t length = strlen(line);
    if (!another_to_try && written < MESSAGE_LIMIT) fputs(line, stderr);
    written += length;
    if (strstr(line, "LOG") == NULL) snprintf(last_message, sizeof(last_message), "%.500s", line);
}

static int take_message(enum libbpf_print_level level, const char *format, va_list arguments) {
    char line[4096];
    if (level != LIBBPF_WARN) return 0;
    vsnprintf(line, sizeof(line), format, arguments);
    keep_message(line);
    return 0;
}

const char *objects_message(void) {
    return last_message;
}

/* --- loading --- */

static struct settings settings_for(const struct options *options, bool follow_privileged) {
    struct settings settings = {
        .wake_bytes = options->ring_bytes / 4,
        .argv_chunks = options->argv_bytes / ARGV_CHUNK,
        .follow_privileged = follow_privileged,
    };
    for (size_t i = 0; i < handler_count; i++) settings.handlers[handler_table[i].number] = (__u8)handler_table[i].kind;
    return settings;
}

static struct bpf_map *map_of(struct bpf_object *object, const char *name) {
    return bpf_object__find_map_by_name(object, name);
}

static struct bpf_object *open_object(bool early) {
    size_t size = 0;
    const void *bytes = early ? early_bpf__elf_bytes(&size) : observer_bpf__elf_bytes(&size);
    LIBBPF_OPTS(bpf_object_open_opts, open, .object_name = "glasshouse");
    return bpf_object__open_mem(bytes, size, &open);
}

static int load_with_libbpf(struct objects *objects, const struct options *options, const struct settings *settings) {
    struct bpf_object *object = objects->object;
    bpf_map__set_max_entries(map_of(object, "events"), options->ring_bytes);
    bpf_map__set_max_entries(map_of(object, "files"), options->file_records);
    bpf_map__set_max_entries(map_of(object, "peers"), options->peer_records);
    /* The only constant in memory, so the section is this structure. */
    int error = bpf_map__set_initial_value(map_of(object, ".rodata"), settings, sizeof(*settings));
    return error != 0 ? error : bpf_object__load(object);
}

int objects_load(struct objects *objects, enum way way, const struct options *options, bool follow_privileged) {
    struct settings settings = settings_for(options, follow_privileged);
    int error = 0;
    memset(objects, 0, sizeof(*objects));
    if (way == WAY_LIGHT) {
        objects->light = light_load(options, &settings, &error);
        return error;
    }
    libbpf_set_print(take_message);
    another_to_try = way != WAY_EARLY;
    objects->object = open_object(way == WAY_EARLY);
    return objects->object == NULL ? -errno : load_with_libbpf(objects, options, &settings);
}

int objects_map(const struct objects *objects, const char *name) {
    if (objects->light != NULL) return light_map(objects->light, name);
    return bpf_object__find_map_fd_by_name(objects->object, name);
}

int objects_program(const struct objects *objects, const char *name) {
    if (objects->light != NULL) return light_program(objects->light, name);
    struct bpf_program *program = bpf_object__find_program_by_name(objects->object, name);
    return program == NULL ? -ENOENT : bpf_program__fd(program);
}

void objects_close(struct objects *objects) {
    if (objects->light != NULL) light_close(objects->light);
    bpf_object__close(objects->object);
    memset(objects, 0, sizeof(*objects));
}
