#include "request.h"

#include "held.h"

#include <stdlib.h>
#include <string.h>

void request_init(struct request *request) {
    memset(request, 0, sizeof(*request));
}

static void list_free(struct string_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

void request_free(struct request *request) {
    list_free(&request->arguments);
    list_free(&request->environment);
}

void request_renew(struct request *request) {
    uint32_t next_sequence = request->next_sequence;
    uint32_t held = request->held;
    bool stdin_is_open = request->phase == PHASE_STARTED && !request->stdin_ended;
    request_free(request);
    request_init(request);
    request->next_sequence = next_sequence;
    request->held = held;
    request->stdin_end_may_come = stdin_is_open;
}

bool request_is_between(const struct request *request) {
    return request->phase == PHASE_CLOCK && request->next_sequence > 0;
}

static bool list_append(struct request *request, struct string_list *list, const struct frame *frame) {
    if (list->count >= REQUEST_MAX_STRINGS) return false;
    if (frame->length > 0 && memchr(frame->payload, 0, frame->length) != NULL) return false;
    if (request->string_bytes + frame->length + 1 > REQUEST_MAX_STRING_BYTES) return false;

    char **items = realloc(list->items, (list->count + 2) * sizeof(*items));
    if (items == NULL) return false;
    list->items = items;

    char *copy = malloc((size_t)frame->length + 1);
    if (copy == NULL) return false;
    if (frame->length > 0) memcpy(copy, frame->payload, frame->length);
    copy[frame->length] = '\0';

    items[list->count++] = copy;
    items[list->count] = NULL;
    request->string_bytes += (size_t)frame->length + 1;
    return true;
}

static bool segment_is_allowed(const char *segment, size_t length) {
    if (length == 0 || length > 255) return false;
    if (length == 1 && segment[0] == '.') return false;
    return !(length == 2 && segment[0] == '.' && segment[1] == '.');
}

bool request_path_is_inside(const char *path, size_t length) {
    if (length == 0 || length > REQUEST_MAX_PATH || memchr(path, 0, length) != NULL) return false;
    size_t start = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && path[i] != '/') continue;
        if (!segment_is_allowed(path + start, i - start)) return false;
        start = i + 1;
    }
    return true;
}

static enum request_action apply_clock(struct request *request, const struct frame *frame) {
    if (frame->type == FRAME_STDIN_END && frame->length == 0 && request->stdin_end_may_come) {
        request->stdin_end_may_come = false;
        return ACTION_NONE;
    }
    if (frame->type != FRAME_CLOCK || frame->length != 8) return ACTION_REFUSE;
    request->clock_ns = get_u64(frame->payload);
    request->phase = PHASE_ENTROPY;
    return ACTION_SET_CLOCK;
}

static enum request_action apply_entropy(struct request *request, const struct frame *frame) {
    if (frame->type != FRAME_ENTROPY || frame->length < 32 || frame->length > 256) return ACTION_REFUSE;
    request->phase = PHASE_LIMITS;
    return ACTION_ADD_ENTROPY;
}

static enum request_action apply_limits(struct request *request, const struct frame *frame) {
    if (frame->type != FRAME_LIMITS || frame->length != 24) return ACTION_REFUSE;
    request->memory_bytes = get_u64(frame->payload);
    request->processes = get_u32(frame->payload + 8);
    request->output_files = get_u32(frame->payload + 12);
    request->output_bytes = get_u64(frame->payload + 16);
    if (request->memory_bytes == 0 || request->processes == 0) return ACTION_REFUSE;
    request->phase = PHASE_ARGUMENTS;
    return ACTION_NONE;
}

static enum request_action apply_file(struct request *request, const struct frame *frame) {
    if (frame->length < 13) return ACTION_REFUSE;
    const char *path = (const char *)frame->payload + 12;
    size_t path_length = frame->length - 12;
    if (!request_path_is_inside(path, path_length)) return ACTION_REFUSE;
    request->file_mode = get_u32(frame->payload);
    if ((request->file_mode & ~0777u) != 0) return ACTION_REFUSE;
    request->file_remaining = get_u64(frame->payload + 4);
    memcpy(request->path, path, path_length);
    request->path[path_length] = '\0';
    request->phase = PHASE_FILES;
    return ACTION_OPEN_FILE;
}

static enum request_action apply_file_data(struct request *request, const struct frame *frame) {
    if (frame->length == 0 || frame->length > request->file_remaining) return ACTION_REFUSE;
    request->file_remaining -= frame->length;
    return ACTION_WRITE_FILE;
}

/* What ends a description. Only a held program can be rehearsed or released. */
static enum request_action apply_order(struct request *request, const struct frame *frame) {
    if (request->arguments.count == 0 || frame->length != 0) return ACTION_REFUSE;
    switch (frame->type) {
    case FRAME_START:
        request->phase = PHASE_STARTED;
        return ACTION_START;
    case FRAME_HOLD:
        if (request->held == HELD_MAX || request->phase == PHASE_FILES) return ACTION_REFUSE;
        request->held++;
        return ACTION_HOLD;
    case FRAME_REHEARSE:
        if (request->held == 0) return ACTION_REFUSE;
        request->held--;
        request->phase = PHASE_STARTED;
        return ACTION_REHEARSE;
    default:
        if (request->held == 0) return ACTION_REFUSE;
        request->held--;
        request->phase = PHASE_STARTED;
        return ACTION_RELEASE;
    }
}

/* argument+, environment*, (file, file_data*)*, then an order */
static enum request_action apply_description(struct request *request, const struct frame *frame) {
    if (request->file_remaining > 0) {
        return frame->type == FRAME_FILE_DATA ? apply_file_data(request, frame) : ACTION_REFUSE;
    }
    switch (frame->type) {
    case FRAME_ARGUMENT:
        if (request->phase != PHASE_ARGUMENTS) return ACTION_REFUSE;
        return list_append(request, &request->arguments, frame) ? ACTION_NONE : ACTION_REFUSE;
    case FRAME_ENVIRONMENT:
        if (request->phase == PHASE_FILES || request->arguments.count == 0) return ACTION_REFUSE;
        request->phase = PHASE_ENVIRONMENT;
        return list_append(request, &request->environment, frame) ? ACTION_NONE : ACTION_REFUSE;
    case FRAME_FILE:
        if (request->arguments.count == 0) return ACTION_REFUSE;
        return apply_file(request, frame);
    case FRAME_START:
    case FRAME_HOLD:
    case FRAME_REHEARSE:
    case FRAME_RELEASE:
        return apply_order(request, frame);
    default:
        return ACTION_REFUSE;
    }
}

static enum request_action apply_while_running(struct request *request, const struct frame *frame) {
    switch (frame->type) {
    case FRAME_STDIN:
        if (request->stdin_ended || frame->length == 0) return ACTION_REFUSE;
        if (frame->length > request->stdin_granted) return ACTION_REFUSE;
        request->stdin_granted -= frame->length;
        return ACTION_STDIN;
    case FRAME_STDIN_END:
        if (request->stdin_ended || frame->length != 0) return ACTION_REFUSE;
        request->stdin_ended = true;
        return ACTION_STDIN_END;
    case FRAME_SIGNAL:
        if (frame->length != 4) return ACTION_REFUSE;
        request->signal = get_u32(frame->payload);
        return request->signal >= 1 && request->signal <= 64 ? ACTION_SIGNAL : ACTION_REFUSE;
    case FRAME_KILL:
        return frame->length == 0 ? ACTION_KILL : ACTION_REFUSE;
    default:
        return ACTION_REFUSE;
    }
}

enum request_action request_apply(struct request *request, const struct frame *frame) {
    if (frame->sequence != request->next_sequence++) return ACTION_REFUSE;
    switch (request->phase) {
    case PHASE_CLOCK:
        return apply_clock(request, frame);
    case PHASE_ENTROPY:
        return apply_entropy(request, frame);
    case PHASE_LIMITS:
        return apply_limits(request, frame);
    case PHASE_STARTED:
        return apply_while_running(request, frame);
    default:
        return apply_description(request, frame);
    }
}
