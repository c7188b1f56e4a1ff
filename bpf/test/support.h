/* What the unit tests of the observer share. */
#ifndef GLASSHOUSE_TEST_SUPPORT_H
#define GLASSHOUSE_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output.h"
#include "report.h"

/* Where all tests let frames be written; nobody reads it unless a test says who. */
extern struct output output;

void expect(bool condition, const char *what, const char *detail);
/* Prints how many checks there were. False when one of them failed. */
bool all_passed(void);

struct bytes {
    uint8_t *data;
    size_t length;
};

/* The caller frees the data. */
struct bytes read_file(const char *directory, const char *name);

/* A record in the making. */
struct draft {
    struct record record;
    uint8_t data[DATA_LIMIT + PATH_LIMIT];
};

/* Of process 4100 of the golden run, or of another one. The caller frees it. */
struct draft *new_record(uint16_t type, uint64_t time, uint32_t pid);
void add(struct draft *draft, int index, uint8_t kind, const void *bytes, size_t length, uint8_t flags);

#define ADD_PATH(draft, index, components, flags) \
    add(draft, index, SECTION_PATH, components, sizeof(components) - 1, flags)
#define ADD_TEXT(draft, index, text) add(draft, index, SECTION_TEXT, text, sizeof(text) - 1, 0)
#define ADD_BYTES(draft, index, bytes) add(draft, index, SECTION_BYTES, bytes, sizeof(bytes) - 1, 0)

/* The frame of `type` and `time` in the golden run. */
struct frame golden_frame(struct bytes stream, uint16_t type, uint64_t time);

/* gather-test.c */
void test_gathering(const char *directory);
/* output-test.c */
void test_output(void);

#endif
