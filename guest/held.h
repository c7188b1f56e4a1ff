/*
 * The conversation with a held interpreter: one that has started, and waits for what it is to run. Its side is the
 * module that the image builder puts into the root (src/images/held-interpreter.ts).
 */
#ifndef GLASSHOUSE_HELD_H
#define GLASSHOUSE_HELD_H

#include "request.h"

/* Where the interpreter finds its end of the conversation. */
#define HELD_CONTROL_FD 3
/* How many may wait at a time: one to rehearse with, one to run. */
#define HELD_MAX 2

/* Each waits for the interpreter, which is still ours: it has run nothing of a user's. 0 or -1 with errno. */

/* Until it waits. */
int held_await_ready(int control);

/* It becomes what `request` describes. */
int held_release(int control, const struct request *request);

#endif
