#include "held.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_READY 'w'
#define HEADER_BYTES 8

/* Both ends are pipes that do not block. */
static bool may_try_again(int fd, short events) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN) return false;
    struct pollfd pipe = {.fd = fd, .events = events};
    return poll(&pipe, 1, -1) > 0 || errno == EINTR;
}

static int write_all(int fd, const void *bytes, size_t length) {
    const uint8_t *next = bytes;
    while (length > 0) {
        ssize_t written = write(fd, next, length);
        if (written < 0 && may_try_again(fd, POLLOUT)) continue;
        if (written < 0) return -1;
        next += written;
        length -= (size_t)written;
    }
    return 0;
}

static size_t length_of(const struct string_list *list, size_t first) {
    size_t length = 0;
    for (size_t i = first; i < list->count; i++) length += strlen(list->items[i]) + 1;
    return length;
}

static int write_strings(int input, const struct string_list *list, size_t first) {
    for (size_t i = first; i < list->count; i++) {
        if (write_all(input, list->items[i], strlen(list->items[i]) + 1) < 0) return -1;
    }
    return 0;
}

int held_await_ready(int output) {
    char answer = 0;
    ssize_t got;
    do {
        got = read(output, &answer, 1);
    } while (got < 0 && may_try_again(output, POLLIN));
    if (got == 1 && answer == ANSWER_READY) return 0;
    if (got >= 0) errno = EPIPE;
    return -1;
}

/* Number of arguments, length of the strings, the strings; the interpreter and its program file are no arguments. */
int held_release(int input, const struct request *request) {
    const size_t skipped = 2;
    size_t arguments = request->arguments.count > skipped ? request->arguments.count - skipped : 0;
    size_t length = length_of(&request->arguments, skipped) + length_of(&request->environment, 0);
    uint8_t header[HEADER_BYTES];
    put_u32(header, (uint32_t)arguments);
    put_u32(header + 4, (uint32_t)length);
    if (write_all(input, header, sizeof(header)) < 0) return -1;
    if (write_strings(input, &request->arguments, skipped) < 0) return -1;
    return write_strings(input, &request->environment, 0);
}
