/* Which part of the program at sys_exit looks at which system call of x86-64's own ABI when it has returned. */
#ifndef GLASSHOUSE_HANDLERS_H
#define GLASSHOUSE_HANDLERS_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

struct handler {
    enum handler_kind kind;
    uint32_t number;
};

extern const struct handler handler_table[];
extern const size_t handler_count;

#endif
