/* Fuzzes what takes in bytes: the host's frames (first byte even) and the kernel's records (first byte odd). */
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "gather.h"
#include "output.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_control(const uint8_t *data, size_t size) {
    struct control control = {0};
    size_t half = size / 2;
    if (control_take(&control, data, half) == CONTROL_REFUSED) return;
    control_take(&control, data + half, size - half);
}

/* Of any record the sums are whole frames. */
static void fuzz_gathering(const struct record *record) {
    static struct gather gather;
    static struct output output;
    struct process process = {0};
    struct tracked_file file = {0};
    struct owner owner = owner_of(record);
    struct frame frame;
    output_init(&output, -1);
    gather_init(&gather);
    gather_failed_open(&gather, record, &process);
    gather_file(&gather, record, &file);
    gather_totals(&gather, &output, &process, &owner, &file, &(struct file_value){.opens = 1});
    gather_flush(&gather, &output);
    for (size_t at = 0; at < output.used; at += FRAME_HEADER_BYTES + frame.length)
        if (frame_decode(output.bytes + at, output.used - at, &frame) != FRAME_COMPLETE) abort();
}

static void fuzz_record(const uint8_t *data, size_t size) {
    static struct output output;
    struct record *record = malloc(size == 0 ? 1 : size);
    struct frame frame;
    memcpy(record, data, size);
    output_init(&output, -1);
    if (record_is_whole(record, size)) {
        report_record(&output, record, 1);
        /* What comes out is always one frame. */
        if (frame_decode(output.bytes, output.used, &frame) != FRAME_COMPLETE) abort();
        if (output.used != FRAME_HEADER_BYTES + frame.length) abort();
        fuzz_gathering(record);
    }
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    if (data[0] & 1) fuzz_record(data + 1, size - 1);
    else fuzz_control(data + 1, size - 1);
    return 0;
}
