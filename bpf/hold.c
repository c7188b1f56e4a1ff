/*
 * Waits for one byte, then becomes the command (docs/observer-link.md). It has no rights of its own, and changes
 * nothing that the command would see.
 * Usage: hold DESCRIPTOR FILE ARGV0 [ARG...]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_NOT_RELEASED 125
#define EXIT_NOT_EXECUTED 127

extern char **environ;

static int parse_descriptor(const char *text) {
    char *end = NULL;
    long number = strtol(text, &end, 10);
    return *text == '\0' || *end != '\0' || number < 0 || number > 1 << 20 ? -1 : (int)number;
}

int main(int argc, char **argv) {
    int descriptor = argc < 4 ? -1 : parse_descriptor(argv[1]);
    char released;
    ssize_t got;
    if (descriptor < 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
        fprintf(stderr, "usage: hold DESCRIPTOR FILE ARGV0 [ARG...]\n");
        return EXIT_NOT_RELEASED;
    }
    do got = read(descriptor, &released, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1) return EXIT_NOT_RELEASED;
    execve(argv[2], argv + 3, environ);
    uint32_t error = (uint32_t)errno;
    uint8_t bytes[4] = {(uint8_t)error, (uint8_t)(error >> 8), (uint8_t)(error >> 16), (uint8_t)(error >> 24)};
    /* Nobody to tell when the host is gone: the exit code has to do. */
    if (write(descriptor, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) return EXIT_NOT_EXECUTED;
    return EXIT_NOT_EXECUTED;
}
