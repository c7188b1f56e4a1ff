/* Paths and operands of records as text. */
#ifndef GLASSHOUSE_OPERAND_H
#define GLASSHOUSE_OPERAND_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* The bytes of a section. */
const uint8_t *section_data(const struct record *record, int section);

/* Writes the path in a section of a whole record; returns its length, DATA_LIMIT + PATH_LIMIT at most. */
size_t path_of_section(uint8_t *text, const struct record *record, int section);

/*
 * Writes the name in section + 1 below the directory in `section`; returns its length, DATA_LIMIT + PATH_LIMIT +
 * MAX_SECTIONS at most. The directory is the kernel's own path, so that `..` right behind it can be followed; what
 * comes later may lead through symbolic links and stays as it was written.
 */
size_t resolve_operand(uint8_t *text, const struct record *record, int section);

#endif
