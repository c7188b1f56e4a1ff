/*
 * A copy of this whole process with all its threads: fork(2) copies only the thread that calls it. Every other thread
 * is stopped by a signal, wherever it is. Its stack, with the registers that the kernel has put there, is in memory and
 * is copied with it; in the copy, a new thread takes that stack over and returns from the signal.
 */
#ifndef GLASSHOUSE_TEMPLATE_THREADS_H
#define GLASSHOUSE_TEMPLATE_THREADS_H

#include <sys/types.h>

/* To be called before there is a second thread. -1 with errno. */
int threads_prepare(void);

/*
 * Stops all other threads, copies the process and lets them go on. Gives what fork(2) gives; ETIMEDOUT when a thread
 * did not stop. In the copy there is only the caller until threads_revive(). One caller.
 */
pid_t threads_fork(void);

/* In the copy, once: makes the other threads again, which go on where they were stopped. -1 with errno. */
int threads_revive(void);

#endif
