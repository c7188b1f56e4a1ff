#include "control.h"

/* A frame that can still become `follow` when the rest comes. */
static bool is_plausible(const struct control *control) {
    static const uint8_t follow[FRAME_HEADER_BYTES] = {4, 0, 0, 0, CONTROL_FOLLOW};
    size_t known = control->length < FRAME_HEADER_BYTES ? control->length : FRAME_HEADER_BYTES;
    for (size_t i = 0; i < known; i++)
        if (control->bytes[i] != follow[i]) return false;
    return true;
}

enum control_status control_take(struct control *control, const uint8_t *bytes, size_t length) {
    enum control_status status = CONTROL_WAITING;
    for (size_t i = 0; i < length; i++) {
        if (control->pid != 0) return CONTROL_REFUSED;
        control->bytes[control->length++] = bytes[i];
        if (!is_plausible(control)) return CONTROL_REFUSED;
        if (control->length < CONTROL_BYTES) continue;
        uint32_t pid = get_u32(control->bytes + FRAME_HEADER_BYTES);
        if (pid == 0 || pid > INT32_MAX) return CONTROL_REFUSED;
        control->pid = pid;
        status = CONTROL_FOLLOWS;
    }
    return status;
}
