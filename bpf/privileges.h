#ifndef GLASSHOUSE_PRIVILEGES_H
#define GLASSHOUSE_PRIVILEGES_H

#include <stdbool.h>

/* Whether this process may load tracing programs. */
bool privileges_suffice(void);

/*
 * Gives up everything but CAP_BPF and CAP_PERFMON: user and group (root becomes 65534), capabilities, and the way back
 * (no_new_privs). Returns false, with errno, when something could not be given up.
 */
bool privileges_drop(void);

#endif
