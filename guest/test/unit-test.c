/*
 * Unit tests of guest init's parsing and of its walk over a workspace, run on the host.
 * Usage: unit-test DIRECTORY-OF-GOLDEN-FRAMES
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"
#include "link.h"
#include "request.h"
#include "vsock.h"
#include "workspace.h"

static int passed;
static int failed;

static void expect(bool condition, const char *what, const char *detail) {
    if (condition) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "not ok: %s (%s)\n", what, detail);
}

struct bytes {
    uint8_t *data;
    size_t length;
};

static struct bytes read_file(const char *directory, const char *name) {
    char path[4096];
    struct bytes bytes = {NULL, 0};
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    bytes.data = malloc(1 << 20);
    bytes.length = fread(bytes.data, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

enum verdict { ACCEPTED, REFUSED, UNFINISHED };

/* Applies a whole stream; `last` becomes the offset of the frame that was refused. */
static enum verdict apply_stream(struct bytes stream, struct request *request, size_t *last) {
    size_t offset = 0;
    while (offset < stream.length) {
        struct frame frame;
        *last = offset;
        switch (frame_decode(stream.data + offset, stream.length - offset, &frame)) {
        case FRAME_COMPLETE:
            break;
        case FRAME_INCOMPLETE:
            return UNFINISHED;
        default:
            return REFUSED;
        }
        enum request_action action = request_apply(request, &frame);
        if (action == ACTION_REFUSE) return REFUSED;
        if (action == ACTION_HOLD || action == ACTION_REHEARSE) request_renew(request);
        if (action == ACTION_START || action == ACTION_RELEASE) request->stdin_granted = FRAME_MAX_PAYLOAD;
        offset += FRAME_HEADER_BYTES + frame.length;
    }
    return ACCEPTED;
}

static void test_golden_run(const char *directory) {
    struct bytes stream = read_file(directory, "host-run.bin");
    struct request request;
    size_t last = 0;
    request_init(&request);
    expect(apply_stream(stream, &request, &last) == ACCEPTED, "the golden run is accepted", "host-run.bin");
    expect(request.arguments.count == 3, "it has three arguments", "host-run.bin");
    expect(strcmp(request.arguments.items[0], "python3") == 0, "the first is the command", request.arguments.items[0]);
    expect(request.arguments.items[3] == NULL, "the list ends with NULL for execve", "arguments");
    expect(request.environment.count == 2, "it has two variables", "host-run.bin");
    expect(strcmp(request.environment.items[1], "EMPTY=") == 0, "an empty variable stays", request.environment.items[1]);
    expect(strcmp(request.path, "dir/sub/run.sh") == 0, "the last file has its path", request.path);
    expect(request.memory_bytes == 134217728 && request.processes == 64, "limits arrive", "host-run.bin");
    expect(request.clock_ns == 1795446455516000000u, "the clock arrives", "host-run.bin");
    expect(request.stdin_ended, "stdin has ended", "host-run.bin");
    request_free(&request);
    free(stream.data);
}

/* Of several descriptions on one link, the last one counts, and nothing of those before it stays. */
static void test_golden_clone_run(const char *directory) {
    struct bytes stream = read_file(directory, "host-clone-run.bin");
    struct request request;
    size_t last = 0;
    request_init(&request);
    expect(apply_stream(stream, &request, &last) == ACCEPTED, "the golden run of a clone is accepted", "host-clone-run.bin");
    expect(request.held == 1, "of three held programs one was rehearsed and one released", "host-clone-run.bin");
    expect(request.arguments.count == 3, "the arguments are those of the released one", "host-clone-run.bin");
    expect(strcmp(request.arguments.items[2], "one") == 0, "the last of them too", request.arguments.items[2]);
    expect(request.environment.count == 1, "its environment is its own", "host-clone-run.bin");
    expect(strcmp(request.environment.items[0], "LANG=C.UTF-8") == 0, "without a word of holding",
           request.environment.items[0]);
    expect(request.memory_bytes == 67108864 && request.processes == 16, "its limits arrive", "host-clone-run.bin");
    expect(request.clock_ns == 1795446457516000000u, "its clock arrives", "host-clone-run.bin");
    expect(request.string_bytes == strlen("python3") + strlen("/workspace/code.py") + strlen("one") +
                                       strlen("LANG=C.UTF-8") + 4,
           "only its own strings count against the bound", "host-clone-run.bin");
    request_free(&request);
    free(stream.data);
}

/* Every refused stream is refused at its last frame and not before. */
static void test_refused_streams(const char *directory) {
    DIR *entries = opendir(directory);
    struct dirent *entry;
    int seen = 0;
    while ((entry = readdir(entries)) != NULL) {
        if (strncmp(entry->d_name, "bad-host-", 9) != 0) continue;
        struct bytes stream = read_file(directory, entry->d_name);
        struct request request;
        struct frame frame;
        size_t last = 0;
        seen++;
        request_init(&request);
        expect(apply_stream(stream, &request, &last) == REFUSED, "a bad stream is refused", entry->d_name);
        enum frame_status status = frame_decode(stream.data + last, stream.length - last, &frame);
        bool at_end = status != FRAME_COMPLETE || last + FRAME_HEADER_BYTES + frame.length == stream.length;
        expect(at_end, "and at its last frame", entry->d_name);
        request_free(&request);
        free(stream.data);
    }
    closedir(entries);
    expect(seen > 20, "there are refused streams to read", directory);
}

/* What we encode is what the golden bytes say. */
static void test_encoding(const char *directory, const char *name) {
    struct bytes stream = read_file(directory, name);
    size_t offset = 0;
    while (offset < stream.length) {
        struct frame frame;
        uint8_t header[FRAME_HEADER_BYTES];
        expect(frame_decode(stream.data + offset, stream.length - offset, &frame) == FRAME_COMPLETE, "frame", name);
        frame_encode_header(header, frame.type, frame.sequence, frame.length);
        expect(memcmp(header, stream.data + offset, sizeof(header)) == 0, "header encodes to the same bytes", name);
        offset += FRAME_HEADER_BYTES + frame.length;
    }
    free(stream.data);
}

static void test_truncated_streams(const char *directory, const char *name) {
    struct bytes stream = read_file(directory, name);
    for (size_t length = 0; length < stream.length; length++) {
        struct request request;
        size_t last = 0;
        request_init(&request);
        struct bytes part = {stream.data, length};
        expect(apply_stream(part, &request, &last) != REFUSED, "a truncated stream waits for more", name);
        request_free(&request);
    }
    free(stream.data);
}

static void test_paths(void) {
    static const char *inside[] = {"a", "a/b", "...", "..a", "a..", "-", " ", "a\\b", "\xff"};
    static const char *outside[] = {"", "/", "/a", "a/", ".", "..", "a/.", "./a", "a/..", "../a", "a//b"};
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
        expect(request_path_is_inside(inside[i], strlen(inside[i])), "path is inside", inside[i]);
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        expect(!request_path_is_inside(outside[i], strlen(outside[i])), "path is not inside", outside[i]);
    expect(!request_path_is_inside("a\0b", 3), "NUL is refused", "a\\0b");
}

/* The frames that a walk over `directory` sends, as one stream of bytes. */
static struct bytes walk(int directory, uint32_t max_files, uint64_t max_bytes) {
    char name[] = "/tmp/glasshouse-unit-XXXXXX";
    int fd = mkstemp(name);
    struct bytes sent = {malloc(1 << 20), 0};
    static struct link link;
    unlink(name);
    link_init(&link, fd);
    expect(workspace_send(&link, directory, max_files, max_bytes), "the walk ends", "workspace");
    lseek(fd, 0, SEEK_SET);
    ssize_t got = read(fd, sent.data, 1 << 20);
    sent.length = got > 0 ? (size_t)got : 0;
    close(fd);
    return sent;
}

static int count_frames(struct bytes sent, uint16_t type, uint32_t kind, const char *path) {
    int count = 0;
    struct frame frame;
    for (size_t offset = 0; offset < sent.length; offset += FRAME_HEADER_BYTES + frame.length) {
        if (frame_decode(sent.data + offset, sent.length - offset, &frame) != FRAME_COMPLETE) return -1;
        if (frame.type != type) continue;
        if (kind != 0 && get_u32(frame.payload) != kind) continue;
        if (path != NULL && (frame.length - 16 != strlen(path) || memcmp(frame.payload + 16, path, strlen(path)) != 0))
            continue;
        count++;
    }
    return count;
}

static void put_file(int root, const char *path, const char *content) {
    int fd = workspace_create(root, path, 0644);
    expect(fd >= 0, "a file is created with its parents", path);
    ssize_t written = write(fd, content, strlen(content));
    expect(written == (ssize_t)strlen(content), "and written", path);
    close(fd);
}

static void test_workspace(void) {
    char name[] = "/tmp/glasshouse-workspace-XXXXXX";
    expect(mkdtemp(name) != NULL, "temporary directory", name);
    int root = open(name, O_RDONLY | O_DIRECTORY);
    put_file(root, "plain", "hello");
    put_file(root, "a/b/c", "deep");
    expect(workspace_create(root, "plain", 0644) < 0, "a file is not created twice", "plain");
    expect(symlinkat("/etc/passwd", root, "link") == 0, "symlink", "link");
    expect(workspace_create(root, "link/x", 0644) < 0, "a symlink is not followed on the way in", "link/x");
    expect(mkfifoat(root, "fifo", 0644) == 0, "fifo", "fifo");

    struct bytes all = walk(root, 100, 1000);
    expect(count_frames(all, FRAME_OUTPUT_FILE, 1, "plain") == 1, "a file is sent", "plain");
    expect(count_frames(all, FRAME_OUTPUT_FILE, 1, "a/b/c") == 1, "a nested file is sent", "a/b/c");
    expect(count_frames(all, FRAME_OUTPUT_FILE, 3, "link") == 1, "a symlink is named, not followed", "link");
    expect(count_frames(all, FRAME_OUTPUT_FILE, 4, "fifo") == 1, "a fifo is named, not opened", "fifo");
    expect(count_frames(all, FRAME_OUTPUT_DATA, 0, NULL) == 2, "only regular files have bytes", "data");
    expect(count_frames(all, FRAME_OUTPUT_END, 0, NULL) == 1, "the end is said once", "end");
    free(all.data);

    struct bytes few = walk(root, 1, 1000);
    expect(count_frames(few, FRAME_OUTPUT_FILE, 0, NULL) == 1, "no more files than allowed", "1");
    free(few.data);
    struct bytes small = walk(root, 100, 4);
    expect(count_frames(small, FRAME_OUTPUT_FILE, 2, "plain") == 1, "a file over the limit is named only", "plain");
    free(small.data);
    close(root);

    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", name);
    expect(system(command) == 0, "clean up", name);
}

/* A guest can be frozen after it has answered a description, and neither before nor in the middle of the next one. */
static void test_where_a_guest_can_be_frozen(const char *directory) {
    struct bytes stream = read_file(directory, "host-clone-run.bin");
    struct request request;
    struct frame frame;
    int between = 0;
    request_init(&request);
    expect(!request_is_between(&request), "before the first description it cannot", "host-clone-run.bin");
    for (size_t offset = 0; offset < stream.length; offset += FRAME_HEADER_BYTES + frame.length) {
        frame_decode(stream.data + offset, stream.length - offset, &frame);
        enum request_action action = request_apply(&request, &frame);
        bool answered = action == ACTION_HOLD || action == ACTION_REHEARSE;
        bool crossed = frame.type == FRAME_STDIN_END && request_is_between(&request);
        if (answered) request_renew(&request);
        if (action == ACTION_START || action == ACTION_RELEASE) request.stdin_granted = FRAME_MAX_PAYLOAD;
        expect(request_is_between(&request) == (answered || crossed), "only between two descriptions it can", "host-clone-run.bin");
        if (answered) between++;
    }
    expect(between == 4, "after each answer", "host-clone-run.bin");
    request_free(&request);
    free(stream.data);
}

static void close_pair(int pair[2]) {
    close(pair[0]);
    close(pair[1]);
}

/* The sequence of the frame that arrived at `fd`. */
static uint32_t received_sequence(int fd) {
    uint8_t bytes[FRAME_HEADER_BYTES];
    struct frame frame = {0};
    expect(read(fd, bytes, sizeof(bytes)) == sizeof(bytes), "a frame arrives", "link");
    expect(frame_decode(bytes, sizeof(bytes), &frame) == FRAME_COMPLETE, "and is whole", "link");
    return frame.sequence;
}

static void test_rejoining(void) {
    static struct link link;
    int first[2];
    int second[2];
    uint8_t header[FRAME_HEADER_BYTES];
    expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first) == 0, "a link", "link");
    expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second) == 0, "another", "link");
    link_init(&link, first[0]);
    expect(link_is_at_rest(&link), "a new link is at rest", "link");
    expect(link_send(&link, FRAME_HELD, NULL, 0), "it sends", "link");
    expect(!link_is_at_rest(&link), "what is not written yet keeps it from resting", "link");
    expect(link_drain(&link) && link_is_at_rest(&link), "written, it is at rest again", "link");
    expect(received_sequence(first[1]) == 0, "its first frame has sequence 0", "link");
    close(first[1]);
    expect(link_fill(&link) == LINK_CLOSED, "the host hangs up", "link");
    expect(link_is_at_rest(&link), "which cuts nothing off", "link");
    link_rejoin(&link, second[0]);
    expect(link_send(&link, FRAME_HELD, NULL, 0) && link_drain(&link), "it goes on over another connection", "link");
    expect(received_sequence(second[1]) == 1, "with the sequence that is next", "link");
    frame_encode_header(header, FRAME_CLOCK, 0, 8);
    expect(write(second[1], header, sizeof(header)) == sizeof(header), "half a frame", "link");
    expect(link_fill(&link) == LINK_OK && !link_is_at_rest(&link), "is no place to rest", "link");
    close(first[0]);
    close_pair(second);
}

/* The kind of socket makes no difference to accepting: a Unix socket stands in for one that needs a machine. */
static void test_greeting(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[] = "/tmp/glasshouse-unit-XXXXXX";
    uint8_t greeting = 0;
    expect(mkdtemp(name) != NULL, "temporary directory", name);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", name);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    int gone = socket(AF_UNIX, SOCK_STREAM, 0);
    int host = socket(AF_UNIX, SOCK_STREAM, 0);
    expect(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 2) == 0, "listens", name);
    expect(connect(gone, (struct sockaddr *)&address, sizeof(address)) == 0, "one connects", name);
    close(gone);
    expect(connect(host, (struct sockaddr *)&address, sizeof(address)) == 0, "another connects", name);
    int fd = vsock_accept(listener);
    expect(fd >= 0, "the one that is still there is accepted", name);
    expect((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, "without blocking", name);
    expect(read(host, &greeting, 1) == 1 && greeting == VSOCK_GREETING, "and greeted", name);
    close(fd);
    close(host);
    close(listener);
    unlink(address.sun_path);
    rmdir(name);
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", arguments[0]);
        return 2;
    }
    test_golden_run(arguments[1]);
    test_golden_clone_run(arguments[1]);
    test_refused_streams(arguments[1]);
    test_encoding(arguments[1], "host-run.bin");
    test_encoding(arguments[1], "guest-run.bin");
    test_encoding(arguments[1], "host-clone-run.bin");
    test_encoding(arguments[1], "guest-clone-run.bin");
    test_truncated_streams(arguments[1], "host-run.bin");
    test_truncated_streams(arguments[1], "host-clone-run.bin");
    test_paths();
    test_workspace();
    test_where_a_guest_can_be_frozen(arguments[1]);
    test_rejoining();
    test_greeting();
    printf("guest: %d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
