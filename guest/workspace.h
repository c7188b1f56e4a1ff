/*
 * Files that go into the workspace and files that come out of it.
 */
#ifndef GLASSHOUSE_WORKSPACE_H
#define GLASSHOUSE_WORKSPACE_H

#include <stdint.h>

#include "link.h"

/* What a held interpreter was told to run. */
#define PROGRAM_FILE "code.py"
#define PROGRAM_FILE_MODE 0644

/* Creates `path` (checked by request_path_is_inside) and its parents. Returns a descriptor or -1 with errno. */
int workspace_create(int root, const char *path, uint32_t mode);

/*
 * Sends everything below `root` as output_file and output_data frames, then output_end. Follows no symbolic
 * link. At most `max_files` files are named and `max_bytes` bytes sent. False: the link is gone or a file
 * changed while it was read, which nothing living can have done.
 */
bool workspace_send(struct link *link, int root, uint32_t max_files, uint64_t max_bytes);

/* Removes the files at the top of the workspace; what a rehearsal leaves. 0 or -1 with errno. */
int workspace_empty(int root);

#endif
