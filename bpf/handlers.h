/* Which program looks at which system call of x86-64's own ABI when it has returned. */
#ifndef GLASSHOUSE_HANDLERS_H
#define GLASSHOUSE_HANDLERS_H

#include <stddef.h>
#include <stdint.h>

struct handler {
    const char *program;
    uint32_t number;
};

extern const struct handler handler_table[];
extern const size_t handler_count;

#endif
