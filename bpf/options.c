#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

struct option {
    const char *name;
    uint32_t *value;
    uint32_t least, most;
};

static bool parse_number(const char *text, uint32_t *value) {
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > UINT32_MAX) return false;
    *value = (uint32_t)number;
    return true;
}

static bool apply(struct option *option, const char *text) {
    uint32_t value;
    if (text == NULL || !parse_number(text, &value) || value < option->least || value > option->most) {
        fprintf(stderr, "observer: %s needs a number from %u to %u\n", option->name, option->least, option->most);
        return false;
    }
    *option->value = value;
    return true;
}

static bool check(const struct options *options) {
    if ((options->ring_bytes & (options->ring_bytes - 1)) != 0) {
        fprintf(stderr, "observer: --ring-bytes must be a power of two\n");
        return false;
    }
    if (options->argv_bytes % ARGV_CHUNK != 0) {
        fprintf(stderr, "observer: --argv-bytes must be a multiple of %d\n", ARGV_CHUNK);
        return false;
    }
    return true;
}

bool options_parse(struct options *options, int argc, char **argv) {
    *options = (struct options){8 << 20, 65536, 16384, MAX_ARGV_CHUNKS * ARGV_CHUNK, 0, 0};
    struct option known[] = {
        {"--ring-bytes", &options->ring_bytes, 4096, 1u << 30},
        {"--file-records", &options->file_records, 1, 1u << 24},
        {"--peer-records", &options->peer_records, 1, 1u << 24},
        {"--argv-bytes", &options->argv_bytes, 0, MAX_ARGV_CHUNKS * ARGV_CHUNK},
        {"--gather-ms", &options->gather_ms, 0, 1000},
        {"--first-way", &options->first_way, 0, 2},
    };
    for (int i = 1; i < argc; i += 2) {
        struct option *option = NULL;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (strcmp(argv[i], known[k].name) == 0) option = &known[k];
        if (option == NULL) {
            fprintf(stderr, "observer: unknown option\n");
            return false;
        }
        if (!apply(option, i + 1 < argc ? argv[i + 1] : NULL)) return false;
    }
    return check(options);
}
