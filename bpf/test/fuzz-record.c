/* Fuzzes what takes in bytes: the host's frames (first byte even) and the kernel's records (first byte odd). */
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "output.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_control(const uint8_t *data, size_t size) {
    struct control control = {0};
    size_t half = size / 2;
    if (control_take(&control, data, half) == CONTROL_REFUSED) return;
    control_take(&control, data + half, size - half);
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
    }
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    if (data[0] & 1) fuzz_record(data + 1, size - 1);
    else fuzz_control(data + 1, size - 1);
    return 0;
}
