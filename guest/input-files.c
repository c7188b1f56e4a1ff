#define _GNU_SOURCE
#include "input-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "program.h"
#include "system.h"
#include "workspace.h"

void input_files_init(struct input_files *files) {
    *files = (struct input_files){.workspace = -1, .file = -1, .program_file = -1};
}

int input_files_ensure_workspace(struct input_files *files) {
    if (files->workspace >= 0) return 0;
    if (system_mount_workspace() < 0) return STAGE_WORKSPACE;
    files->workspace = open(WORKSPACE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return files->workspace < 0 ? STAGE_WORKSPACE : 0;
}

int input_files_prepare_program_file(struct input_files *files) {
    if (files->program_file >= 0) return 0;
    files->program_file = workspace_create(files->workspace, PROGRAM_FILE, PROGRAM_FILE_MODE);
    return files->program_file < 0 ? STAGE_WORKSPACE : 0;
}

int input_files_discard_program_file(struct input_files *files) {
    if (files->program_file < 0) return 0;
    if (close(files->program_file) < 0) return STAGE_WORKSPACE;
    files->program_file = -1;
    return unlinkat(files->workspace, PROGRAM_FILE, 0) < 0 ? STAGE_WORKSPACE : 0;
}

static bool is_program_file(const struct input_files *files, const struct request *request) {
    return files->program_file >= 0 && request->file_mode == PROGRAM_FILE_MODE &&
           strcmp(request->path, PROGRAM_FILE) == 0;
}

static int finish(struct input_files *files, const struct request *request) {
    if (request->file_remaining > 0) return 0;
    if (close(files->file) < 0) return STAGE_INPUT_FILE;
    files->file = -1;
    return 0;
}

int input_files_open(struct input_files *files, const struct request *request) {
    int stage = input_files_ensure_workspace(files);
    if (stage != 0) return stage;
    if (is_program_file(files, request)) {
        files->file = files->program_file;
        files->program_file = -1;
        return finish(files, request);
    }
    stage = input_files_discard_program_file(files);
    if (stage != 0) return stage;
    files->file = workspace_create(files->workspace, request->path, request->file_mode);
    return files->file < 0 ? STAGE_INPUT_FILE : finish(files, request);
}

int input_files_write(struct input_files *files, const struct request *request, const uint8_t *bytes, uint32_t length) {
    for (uint32_t done = 0; done < length;) {
        ssize_t written = write(files->file, bytes + done, length - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return STAGE_INPUT_FILE;
        done += (uint32_t)written;
    }
    return finish(files, request);
}
