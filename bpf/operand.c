#include "operand.h"

#include <stdbool.h>
#include <string.h>

const uint8_t *section_data(const struct record *record, int section) {
    const uint8_t *data = (const uint8_t *)(record + 1);
    for (int i = 0; i < section; i++) data += record->sections[i].length;
    return data;
}

/* The bytes of a path are its components, the last one first and each ended by a NUL. */
size_t path_of_section(uint8_t *text, const struct record *record, int section) {
    const uint8_t *components = section_data(record, section);
    size_t used = 0, end = record->sections[section].length;
    while (end > 0) {
        /* components[end - 1] is the NUL of the last component that is not written yet */
        size_t start = end - 1;
        while (start > 0 && components[start - 1] != '\0') start--;
        text[used++] = '/';
        memcpy(text + used, components + start, end - 1 - start);
        used += end - 1 - start;
        end = start;
    }
    if (used == 0 && !(record->sections[section].flags & TEXT_UNRESOLVED)) text[used++] = '/';
    return used;
}

static bool is_segment(const uint8_t *segment, size_t length, const char *name) {
    return length == strlen(name) && memcmp(segment, name, length) == 0;
}

static size_t without_last(const uint8_t *text, size_t used) {
    while (used > 0 && text[--used] != '/') continue;
    return used;
}

size_t resolve_operand(uint8_t *text, const struct record *record, int section) {
    const uint8_t *name = section_data(record, section + 1);
    size_t length = record->sections[section + 1].length;
    size_t used = path_of_section(text, record, section);
    /* Above the root there is nothing, above that of a chroot neither. */
    bool leads = true, is_absolute = length > 0 && name[0] == '/';
    if (length == 0) return used;
    if (used == 1) used = 0;
    for (size_t at = 0, end; at < length; at = end + 1) {
        for (end = at; end < length && name[end] != '/';) end++;
        const uint8_t *segment = name + at;
        if (end == at || is_segment(segment, end - at, ".")) continue;
        if (leads && is_segment(segment, end - at, "..")) {
            if (!is_absolute) used = without_last(text, used);
            continue;
        }
        leads = false;
        text[used++] = '/';
        memcpy(text + used, segment, end - at);
        used += end - at;
    }
    if (used == 0) text[used++] = '/';
    return used;
}
