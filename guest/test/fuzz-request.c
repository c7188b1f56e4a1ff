/*
 * Fuzz target: any bytes from the host, cut into pieces, through the frame decoder and the state machine.
 */
#include <stdint.h>
#include <stdlib.h>

#include "frame.h"
#include "held.h"
#include "request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct request request;
    struct frame frame;
    size_t offset = 0;
    request_init(&request);
    while (frame_decode(data + offset, size - offset, &frame) == FRAME_COMPLETE) {
        /* Random bytes rarely count; the sequence is checked by the unit tests. */
        frame.sequence = request.next_sequence;
        enum request_action action = request_apply(&request, &frame);
        if (action == ACTION_REFUSE) break;
        if (action == ACTION_HOLD || action == ACTION_REHEARSE) request_renew(&request);
        if (request.held > HELD_MAX) abort();
        if (action == ACTION_START || action == ACTION_RELEASE) request.stdin_granted = FRAME_MAX_PAYLOAD;
        if (request.stdin_granted > FRAME_MAX_PAYLOAD) abort();
        if (request.string_bytes > REQUEST_MAX_STRING_BYTES) abort();
        offset += FRAME_HEADER_BYTES + frame.length;
    }
    request_free(&request);
    return 0;
}
