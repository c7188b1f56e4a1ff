/*
 * The untrusted program: its cgroup, its privileges, its pipes, its end.
 */
#ifndef GLASSHOUSE_PROGRAM_H
#define GLASSHOUSE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "request.h"

/* start_failed.stage in docs/guest-link.md */
enum start_stage {
    STAGE_CLOCK_OR_ENTROPY = 1,
    STAGE_WORKSPACE = 2,
    STAGE_INPUT_FILE = 3,
    STAGE_LIMITS = 4,
    STAGE_PROCESS = 5,
    STAGE_EXEC = 6,
};

struct program {
    int cgroup; /* directory of the program's cgroup */
    pid_t pid;  /* of its first process; 0 before the start and after its end */
    int stdin_fd;
    int stdout_fd;
    int stderr_fd;
    int wait_status; /* of the first process, see wait(2) */
    uint64_t memory_bytes; /* limits that its cgroup has; 0: none yet */
    uint32_t processes;
    uint64_t max_rss_kb; /* largest of the processes that were reaped */
    uint64_t user_us_before; /* used by the program until it was released */
    uint64_t system_us_before;
};

struct program_usage {
    uint64_t max_rss_kb;
    uint64_t user_us;
    uint64_t system_us;
    bool out_of_memory;
};

void program_init(struct program *program);

/* Starts the first process in a cgroup of its own. 0, or the stage that failed with errno set. */
int program_start(struct program *program, const struct request *request);

/* Starts it as one that waits for orders (held.h), and returns when it does. */
int program_hold(struct program *program, const struct request *request);

/* The held program becomes the program. */
int program_release(struct program *program, const struct request *request);

/* After program_finish(): lets go of what is left, so that there can be another. */
void program_forget(struct program *program);

void program_signal(const struct program *program, int signal);
void program_kill(const struct program *program);

/* Reaps what has ended. True once the first process has. */
bool program_reap(struct program *program);

/* After the first process has ended: kills the rest and reads what was used. */
void program_finish(struct program *program, struct program_usage *usage);

#endif
