/*
 * The conversation with a held interpreter: one that has started, and waits for what it is to run. Its side is the
 * module that the image builder puts into the root (src/images/held-interpreter.ts).
 */
#ifndef GLASSHOUSE_HELD_H
#define GLASSHOUSE_HELD_H

#include "request.h"

/* How many may wait at a time: to rehearse with, and one to run. */
#define HELD_MAX 8

/*
 * The conversation goes over what will be the program's own stdin and stdout: nothing has to be closed when it ends.
 * Each waits for the interpreter, which is still ours: it has run nothing of a user's. 0 or -1 with errno.
 */

/* Until it waits; `output` is our end of its stdout. */
int held_await_ready(int output);

/* It becomes what `request` describes; `input` is our end of its stdin. */
int held_release(int input, const struct request *request);

#endif
