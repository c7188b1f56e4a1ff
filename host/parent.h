#ifndef GLASSHOUSE_PARENT_H
#define GLASSHOUSE_PARENT_H

#include <sys/types.h>

/* This process ends when its parent does, which must be `parent`. -1 with errno: ESRCH when it is another one by now. */
int parent_follow(pid_t parent);

#endif
