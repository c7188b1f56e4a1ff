/*
 * The workspace while it is being filled: the files that a description brings, one after the other, and the one that is
 * there before it is asked for.
 */
#ifndef GLASSHOUSE_INPUT_FILES_H
#define GLASSHOUSE_INPUT_FILES_H

#include <stdint.h>

#include "request.h"

struct input_files {
    int workspace;    /* its directory, or -1: not mounted yet */
    int file;         /* being written, or -1 */
    int program_file; /* PROGRAM_FILE, empty, made while nobody waited for it; or -1 */
};

void input_files_init(struct input_files *files);

/* Each gives 0, or the stage that failed with errno set. */

/* Mounts it at first use. */
int input_files_ensure_workspace(struct input_files *files);

/* Making a file is a good part of what a release costs: it is done before, for the one that every program has. */
int input_files_prepare_program_file(struct input_files *files);
/* Nobody must find a file that was not asked for. */
int input_files_discard_program_file(struct input_files *files);

/* Begins the file that the request names, which may be empty. */
int input_files_open(struct input_files *files, const struct request *request);
/* The next bytes of it; complete when the request has no more of it. */
int input_files_write(struct input_files *files, const struct request *request, const uint8_t *bytes, uint32_t length);

#endif
