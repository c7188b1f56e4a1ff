#define _GNU_SOURCE
#include "objects.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "handlers.h"
#include "record.h"
#include "skeletons.h"

#define MESSAGE_LIMIT 65536

/* --- what libbpf says --- */

static pthread_mutex_t message_lock = PTHREAD_MUTEX_INITIALIZER;
/* The end of what libbpf says, for the failure's detail. */
static char last_message[512];
/* Whether there is another variant to try: then nobody needs to read why the first one was refused. */
static bool another_to_try;

static void keep_message(const char *line) {
    static size_t written;
    size_t length = strlen(line);
    pthread_mutex_lock(&message_lock);
    if (!another_to_try && written < MESSAGE_LIMIT) fputs(line, stderr);
    written += length;
    if (strstr(line, "LOG") == NULL) snprintf(last_message, sizeof(last_message), "%.500s", line);
    pthread_mutex_unlock(&message_lock);
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

/* --- maps --- */

static struct bpf_object *open_object(bool early, const char *types) {
    size_t size = 0;
    const void *bytes = early ? early_bpf__elf_bytes(&size) : observer_bpf__elf_bytes(&size);
    LIBBPF_OPTS(bpf_object_open_opts, open, .object_name = "glasshouse", .btf_custom_path = types);
    return bpf_object__open_mem(bytes, size, &open);
}

static void load_only(struct bpf_object *object, bool (*wanted)(const char *name, size_t part), size_t part) {
    struct bpf_program *program;
    bpf_object__for_each_program(program, object)
        bpf_program__set_autoload(program, wanted(bpf_program__name(program), part));
}

static bool none_is_wanted(const char *name, size_t part) {
    (void)name;
    (void)part;
    return false;
}

static struct bpf_map *map_of(struct bpf_object *object, const char *name) {
    return bpf_object__find_map_by_name(object, name);
}

static int set_sizes(struct bpf_object *object, const struct options *options, bool follow_privileged) {
    struct settings settings = {
        .wake_bytes = options->ring_bytes / 4,
        .argv_chunks = options->argv_bytes / ARGV_CHUNK,
        .follow_privileged = follow_privileged,
    };
    for (size_t i = 0; i < handler_count; i++) settings.handlers[handler_table[i].number] = (__u8)handler_table[i].kind;
    bpf_map__set_max_entries(map_of(object, "events"), options->ring_bytes);
    bpf_map__set_max_entries(map_of(object, "files"), options->file_records);
    bpf_map__set_max_entries(map_of(object, "peers"), options->peer_records);
    /* The only constant in memory, so the section is this structure. */
    return bpf_map__set_initial_value(map_of(object, ".rodata"), &settings, sizeof(settings));
}

static bool write_types(int file, const struct bpf_object *object) {
    __u32 size = 0;
    const void *bytes = btf__raw_data(bpf_object__btf(object), &size);
    return bytes != NULL && write(file, bytes, size) == (ssize_t)size;
}

/*
 * libbpf would read the kernel's types, which takes longer than everything else here, although no program of this
 * object is to be fitted to them: it is given the object's own.
 */
static int create_maps(struct objects *objects, bool early, const struct options *options, bool follow_privileged) {
    char path[32];
    int types = memfd_create("types", MFD_CLOEXEC);
    if (types < 0) return -errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", types);
    objects->maps = open_object(early, path);
    int error = objects->maps == NULL ? -errno : 0;
    if (error == 0 && !write_types(types, objects->maps)) error = -EIO;
    if (error == 0) {
        load_only(objects->maps, none_is_wanted, 0);
        error = set_sizes(objects->maps, options, follow_privileged);
    }
    if (error == 0) error = bpf_object__load(objects->maps);
    close(types);
    return error;
}

/* --- programs --- */

/* The first part is what looks at system calls, most of what the verifier has to do. */
static const char *const second_part[] = {"on_exec", "on_exit", "on_fork", "on_socket_state"};

static bool is_of_part(const char *name, size_t part) {
    for (size_t i = 0; i < sizeof(second_part) / sizeof(second_part[0]); i++)
        if (strcmp(second_part[i], name) == 0) return part == 1;
    return part == 0;
}

static int share_maps(const struct objects *objects, struct bpf_object *part) {
    struct bpf_map *map;
    bpf_object__for_each_map(map, part) {
        int error = bpf_map__reuse_fd(map, objects_map(objects, bpf_map__name(map)));
        if (error != 0) return error;
    }
    return 0;
}

struct work {
    struct objects *objects;
    bool early;
    size_t part;
    int error;
};

static void *load_part(void *argument) {
    struct work *work = argument;
    struct bpf_object *part = open_object(work->early, NULL);
    work->objects->parts[work->part] = part;
    work->error = part == NULL ? -errno : share_maps(work->objects, part);
    if (work->error != 0) return NULL;
    load_only(part, is_of_part, work->part);
    work->error = bpf_object__load(part);
    return NULL;
}

static int load_parts(struct objects *objects, bool early) {
    struct work first = {.objects = objects, .early = early, .part = 0};
    struct work second = {.objects = objects, .early = early, .part = 1};
    pthread_t thread;
    bool in_parallel = pthread_create(&thread, NULL, load_part, &second) == 0;
    load_part(&first);
    if (in_parallel) pthread_join(thread, NULL);
    else load_part(&second);
    return first.error != 0 ? first.error : second.error;
}

int objects_load(struct objects *objects, bool early, const struct options *options, bool follow_privileged) {
    libbpf_set_print(take_message);
    another_to_try = !early;
    int error = create_maps(objects, early, options, follow_privileged);
    return error != 0 ? error : load_parts(objects, early);
}

int objects_map(const struct objects *objects, const char *name) {
    return bpf_map__fd(map_of(objects->maps, name));
}

struct bpf_program *objects_program(const struct objects *objects, const char *name) {
    return bpf_object__find_program_by_name(objects->parts[is_of_part(name, 1) ? 1 : 0], name);
}

void objects_close(struct objects *objects) {
    for (size_t i = 0; i < PARTS; i++) bpf_object__close(objects->parts[i]);
    bpf_object__close(objects->maps);
    memset(objects, 0, sizeof(*objects));
}
