#define _GNU_SOURCE
#include "workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "request.h"
#include "system.h"

#define MAX_DEPTH 64
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

enum output_kind { KIND_FILE = 1, KIND_TOO_LARGE = 2, KIND_SYMLINK = 3, KIND_OTHER = 4, KIND_UNREADABLE = 5 };
enum end_flag { END_TOO_MANY_FILES = 1, END_NOT_ALL_READ = 2 };

static int enter_directory(int parent, const char *name) {
    if (mkdirat(parent, name, 0755) == 0) {
        if (fchownat(parent, name, SANDBOX_UID, SANDBOX_GID, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    } else if (errno != EEXIST) {
        return -1;
    }
    return openat(parent, name, DIRECTORY_FLAGS);
}

int workspace_create(int root, const char *path, uint32_t mode) {
    char segment[256];
    int directory = root;
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        size_t length = (size_t)(slash - path);
        memcpy(segment, path, length); /* at most 255 bytes: request_path_is_inside */
        segment[length] = '\0';
        int next = enter_directory(directory, segment);
        int saved = errno;
        if (directory != root) close(directory);
        errno = saved;
        if (next < 0) return -1;
        directory = next;
        path = slash + 1;
    }
    int fd = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int saved = errno;
    if (fd >= 0 && (fchown(fd, SANDBOX_UID, SANDBOX_GID) < 0 || fchmod(fd, mode) < 0)) {
        saved = errno;
        close(fd);
        fd = -1;
    }
    if (directory != root) close(directory);
    errno = saved;
    return fd;
}

int workspace_empty(int root) {
    int fd = openat(root, ".", DIRECTORY_FLAGS);
    if (fd < 0) return -1;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        close(fd);
        return -1;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = unlinkat(root, entry->d_name, 0);
    }
    int saved = errno;
    closedir(directory);
    errno = saved;
    return result;
}

struct walk {
    struct link *link;
    uint32_t files_left;
    uint64_t bytes_left;
    uint32_t flags;
    size_t path_length;
    char path[REQUEST_MAX_PATH + 1];
};

static bool send_header(struct walk *walk, enum output_kind kind, const struct stat *status) {
    uint8_t head[16];
    put_u32(head, kind);
    put_u32(head + 4, status->st_mode & 07777);
    put_u64(head + 8, kind == KIND_FILE || kind == KIND_TOO_LARGE ? (uint64_t)status->st_size : 0);
    return link_send2(walk->link, FRAME_OUTPUT_FILE, head, sizeof(head), (const uint8_t *)walk->path,
                      (uint32_t)walk->path_length);
}

static bool send_bytes(struct walk *walk, int fd, uint64_t remaining) {
    static uint8_t buffer[FRAME_MAX_PAYLOAD];
    while (remaining > 0) {
        size_t wanted = remaining < sizeof(buffer) ? (size_t)remaining : sizeof(buffer);
        ssize_t got = read(fd, buffer, wanted);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        if (!link_send(walk->link, FRAME_OUTPUT_DATA, buffer, (uint32_t)got)) return false;
        remaining -= (uint64_t)got;
    }
    return true;
}

static bool send_regular_file(struct walk *walk, int directory, const char *name, const struct stat *status) {
    if ((uint64_t)status->st_size > walk->bytes_left) return send_header(walk, KIND_TOO_LARGE, status);
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return send_header(walk, KIND_UNREADABLE, status);
    walk->bytes_left -= (uint64_t)status->st_size;
    bool sent = send_header(walk, KIND_FILE, status) && send_bytes(walk, fd, (uint64_t)status->st_size);
    close(fd);
    return sent;
}

static bool send_entry(struct walk *walk, int directory, const char *name, const struct stat *status) {
    if (walk->files_left == 0) {
        walk->flags |= END_TOO_MANY_FILES;
        return true;
    }
    walk->files_left--;
    if (S_ISREG(status->st_mode)) return send_regular_file(walk, directory, name, status);
    return send_header(walk, S_ISLNK(status->st_mode) ? KIND_SYMLINK : KIND_OTHER, status);
}

static bool send_directory(struct walk *walk, int fd, int depth);

static bool send_subdirectory(struct walk *walk, int parent, const char *name, int depth) {
    int fd = depth < MAX_DEPTH ? openat(parent, name, DIRECTORY_FLAGS) : -1;
    if (fd < 0) {
        walk->flags |= END_NOT_ALL_READ;
        return true;
    }
    return send_directory(walk, fd, depth + 1);
}

/* Appends `name` to the path; returns the length to go back to, or 0 when the path would be too long. */
static size_t push_name(struct walk *walk, const char *name, size_t *before) {
    size_t length = strlen(name);
    *before = walk->path_length;
    size_t separator = walk->path_length > 0 ? 1 : 0;
    if (walk->path_length + separator + length > REQUEST_MAX_PATH) return 0;
    if (separator) walk->path[walk->path_length++] = '/';
    memcpy(walk->path + walk->path_length, name, length);
    walk->path_length += length;
    return walk->path_length;
}

static bool visit(struct walk *walk, int directory, const char *name, int depth) {
    struct stat status;
    size_t before;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || push_name(walk, name, &before) == 0) {
        walk->flags |= END_NOT_ALL_READ;
        return true;
    }
    bool sent = S_ISDIR(status.st_mode) ? send_subdirectory(walk, directory, name, depth)
                                        : send_entry(walk, directory, name, &status);
    walk->path_length = before;
    return sent;
}

/* Takes ownership of `fd`. */
static bool send_directory(struct walk *walk, int fd, int depth) {
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        close(fd);
        walk->flags |= END_NOT_ALL_READ;
        return true;
    }
    bool sent = true;
    struct dirent *entry;
    while (sent && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        sent = visit(walk, fd, entry->d_name, depth);
    }
    closedir(directory);
    return sent;
}

bool workspace_send(struct link *link, int root, uint32_t max_files, uint64_t max_bytes) {
    static struct walk walk; /* its path alone is a page; the stack stays small for the recursion */
    walk = (struct walk){.link = link, .files_left = max_files, .bytes_left = max_bytes};
    int fd = openat(root, ".", DIRECTORY_FLAGS);
    if (fd < 0) walk.flags |= END_NOT_ALL_READ;
    else if (!send_directory(&walk, fd, 0)) return false;
    uint8_t payload[4];
    put_u32(payload, walk.flags);
    return link_send(link, FRAME_OUTPUT_END, payload, sizeof(payload)) && link_drain(link);
}
