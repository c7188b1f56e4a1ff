#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct output output;
static int passed;
static int failed;

void expect(bool condition, const char *what, const char *detail) {
    if (condition) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "not ok: %s (%s)\n", what, detail);
}

struct bytes read_file(const char *directory, const char *name) {
    char path[4096];
    struct bytes bytes = {NULL, 0};
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    bytes.data = malloc(1 << 20);
    bytes.length = fread(bytes.data, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

struct draft *new_record(uint16_t type, uint64_t time, uint32_t pid) {
    struct draft *draft = calloc(1, sizeof(*draft));
    draft->record = (struct record){.type = type, .time = time, .pid = pid, .tid = pid};
    draft->record.birth = pid == 4100 ? 5000000000u : 5200000000u;
    return draft;
}

void add(struct draft *draft, int index, uint8_t kind, const void *bytes, size_t length, uint8_t flags) {
    memcpy(draft->data + draft->record.data_bytes, bytes, length);
    draft->record.sections[index] = (struct section){(uint16_t)length, kind, flags};
    draft->record.data_bytes += (uint32_t)length;
}

/* The frame of `type` and `time` in the golden run. */
struct frame golden_frame(struct bytes stream, uint16_t type, uint64_t time) {
    struct frame frame;
    for (size_t offset = 0; offset < stream.length; offset += FRAME_HEADER_BYTES + frame.length) {
        if (frame_decode(stream.data + offset, stream.length - offset, &frame) != FRAME_COMPLETE) break;
        if (frame.type == type && (time == 0 || get_u64(frame.payload) == time)) return frame;
    }
    fprintf(stderr, "no frame of type %u in the golden run\n", type);
    exit(2);
}

bool all_passed(void) {
    printf("%d checks, %d failed\n", passed + failed, failed);
    return failed == 0;
}
