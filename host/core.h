#ifndef GLASSHOUSE_CORE_H
#define GLASSHOUSE_CORE_H

/*
 * Nobody gets a core of this process or of what it starts: it would have the memory of a guest. -1 with errno. Where the
 * limit is 0 already, and we may not raise it, a program that takes cores (core(5), core_pattern) still gets one.
 */
int core_refuse(void);

#endif
