/*
 * What the host asks for: a strict state machine over the host's frames (docs/guest-link.md, "Order").
 * It only parses and collects; init.c acts.
 */
#ifndef GLASSHOUSE_REQUEST_H
#define GLASSHOUSE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define REQUEST_MAX_PATH 4095
#define REQUEST_MAX_STRINGS 4096
#define REQUEST_MAX_STRING_BYTES (4u << 20)

enum request_phase {
    PHASE_CLOCK,
    PHASE_ENTROPY,
    PHASE_LIMITS,
    PHASE_ARGUMENTS,
    PHASE_ENVIRONMENT,
    PHASE_FILES,
    PHASE_STARTED,
};

/* A list of C strings in one allocation each; NULL-terminated for execve. */
struct string_list {
    char **items;
    size_t count;
};

struct request {
    enum request_phase phase;
    uint32_t next_sequence;
    uint64_t clock_ns;
    uint64_t memory_bytes;
    uint32_t processes;
    uint32_t output_files;
    uint64_t output_bytes;
    struct string_list arguments;
    struct string_list environment;
    size_t string_bytes;     /* of both lists together */
    char path[REQUEST_MAX_PATH + 1];
    uint32_t file_mode;
    uint64_t file_remaining; /* bytes of the current file that have not arrived yet */
    uint32_t stdin_granted;  /* bytes of stdin that the host may still send */
    bool stdin_ended;
    bool stdin_end_may_come; /* the rehearsal that it was meant for ended first: the two have crossed */
    uint32_t signal;
    uint32_t held;           /* programs that wait for their release */
};

/* What init.c must do after a frame was applied. */
enum request_action {
    ACTION_NONE,
    ACTION_SET_CLOCK,  /* clock_ns */
    ACTION_ADD_ENTROPY, /* the frame's payload */
    ACTION_OPEN_FILE,  /* path, file_mode; file_remaining may be 0 */
    ACTION_WRITE_FILE, /* the frame's payload; the file is complete when file_remaining is 0 */
    ACTION_START,
    ACTION_HOLD,       /* start, but let the program wait; then request_renew() */
    ACTION_REHEARSE,   /* release the oldest held program; request_renew() when it has ended */
    ACTION_RELEASE,    /* the oldest held program becomes the program */
    ACTION_STDIN,      /* the frame's payload */
    ACTION_STDIN_END,
    ACTION_SIGNAL,     /* signal */
    ACTION_KILL,
    ACTION_REFUSE,     /* the host broke the rules */
};

void request_init(struct request *request);
void request_free(struct request *request);
/* Forgets what was described, so that another description can follow on the same link. */
void request_renew(struct request *request);
/* True after a description was answered and before the next one begins: only then can a guest be frozen. */
bool request_is_between(const struct request *request);
enum request_action request_apply(struct request *request, const struct frame *frame);

/* True when `path` is relative and has no empty, "." or ".." segment and no NUL. */
bool request_path_is_inside(const char *path, size_t length);

#endif
