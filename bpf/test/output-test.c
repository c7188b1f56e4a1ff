/* How frames leave: to a reader who is gone, slow, or does not read at all. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backlog.h"
#include "support.h"

/* More than any pipe holds, and less than the backlog. */
#define MANY_FRAMES 200000u
#define ATTACHED_BYTES (FRAME_HEADER_BYTES + 16)
/* Whoever blocks here never goes on. */
#define DEADLINE_S 60

static void open_pipe(int ends[2]) {
    if (pipe(ends) != 0) exit(2);
    output_init(&output, ends[1]);
}

static void close_output(int writer) {
    close(writer);
    output_free(&output);
    output_init(&output, -1);
}

static void test_reader_that_is_gone(void) {
    int ends[2];
    open_pipe(ends);
    close(ends[0]);
    report_attached(&output, 1);
    output_flush(&output);
    expect(output.broken && output.used == 0, "a pipe without a reader breaks the output", "");
    close_output(ends[1]);
}

static bool read_exactly(int fd, uint8_t *bytes, size_t length) {
    for (size_t got = 0; got < length;) {
        ssize_t count = read(fd, bytes + got, length - got);
        if (count <= 0) return false;
        got += (size_t)count;
    }
    return true;
}

/* In another process. Its exit code says whether the frames came in their order, and nothing else. */
static pid_t start_reader(const int ends[2], uint32_t frames) {
    uint8_t bytes[ATTACHED_BYTES];
    pid_t reader = fork();
    if (reader != 0) return reader;
    close(ends[1]);
    for (uint32_t i = 0; i < frames; i++)
        if (!read_exactly(ends[0], bytes, sizeof(bytes)) || get_u32(bytes + FRAME_HEADER_BYTES) != i) _exit(1);
    _exit(read(ends[0], bytes, 1) == 0 ? 0 : 1);
}

static bool has_read_all(pid_t reader) {
    int status = 0;
    return waitpid(reader, &status, 0) == reader && status == 0;
}

/* The frames are flushed while nobody reads: what does not fit into the pipe has to wait elsewhere. */
static void test_reader_that_does_not_read(void) {
    int ends[2];
    open_pipe(ends);
    for (uint32_t i = 0; i < MANY_FRAMES; i++) report_attached(&output, i);
    output_flush(&output);
    expect(output_waits(&output) && output.used == 0, "what is not read is kept", "");
    pid_t reader = start_reader(ends, MANY_FRAMES);
    close(ends[0]);
    output_finish(&output);
    expect(!output_waits(&output) && !output.broken, "and is sent in the end", "");
    close_output(ends[1]);
    expect(has_read_all(reader), "in its order", "");
}

static void test_backlog_that_is_full(void) {
    int ends[2];
    open_pipe(ends);
    backlog_init(&output.backlog, 8192);
    pid_t reader = start_reader(ends, MANY_FRAMES);
    close(ends[0]);
    for (uint32_t i = 0; i < MANY_FRAMES; i++) report_attached(&output, i);
    output_finish(&output);
    close_output(ends[1]);
    expect(has_read_all(reader), "when the backlog is full the reader is waited for", "");
}

static void test_reader_that_goes_while_much_waits(void) {
    int ends[2];
    open_pipe(ends);
    for (uint32_t i = 0; i < MANY_FRAMES; i++) report_attached(&output, i);
    output_flush(&output);
    close(ends[0]);
    output_finish(&output);
    expect(output.broken, "a reader that goes is not waited for", "");
    close_output(ends[1]);
}

/* Bytes that tell where they belong go in and out in uneven pieces. */
static void test_order_of_the_backlog(void) {
    struct backlog backlog;
    uint8_t piece[5000];
    const uint8_t *front;
    uint32_t in = 0, out = 0;
    bool in_order = true;
    backlog_init(&backlog, 12288);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(piece); i++) piece[i] = (uint8_t)((in + i) % 251);
        in += (uint32_t)backlog_put(&backlog, piece, sizeof(piece));
        expect(backlog.used <= 12288, "the backlog keeps to its limit", "");
        size_t length = backlog_front(&backlog, &front);
        if (round % 7 != 0) length = length < 3333 ? length : 3333;
        for (size_t i = 0; i < length; i++) in_order &= front[i] == (out + i) % 251;
        backlog_drop(&backlog, length);
        out += (uint32_t)length;
    }
    expect(in_order && in - out == backlog.used, "and to the order", "");
    backlog_free(&backlog);
}

void test_output(void) {
    alarm(DEADLINE_S);
    test_reader_that_is_gone();
    test_reader_that_does_not_read();
    test_backlog_that_is_full();
    test_reader_that_goes_while_much_waits();
    test_order_of_the_backlog();
    alarm(0);
}
