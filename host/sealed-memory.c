/*
 * Makes anonymous memory that can be sealed against every change (memfd_create(2), F_ADD_SEALS in fcntl(2)), which
 * Node.js cannot. Prints its descriptor, whose file others then open through /proc, waits for a line on stdin, seals
 * it, says so, and is done. The memory lives on with whoever has opened it.
 *
 * Usage: sealed-memory BYTES
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EVERY_SEAL (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int fail(const char *what) {
    fprintf(stderr, "sealed-memory: %s: %s\n", what, strerror(errno));
    return 1;
}

static off_t parse_size(const char *text) {
    char *end;
    errno = 0;
    long long size = strtoll(text, &end, 10);
    if (errno == 0 && (end == text || *end != '\0' || size <= 0)) errno = EINVAL;
    return errno == 0 ? (off_t)size : -1;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fputs("usage: sealed-memory BYTES\n", stderr);
        return 2;
    }
    off_t size = parse_size(arguments[1]);
    if (size < 0) return fail(arguments[1]);
    int memory = memfd_create("glasshouse-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0) return fail("memfd_create");
    if (ftruncate(memory, size) < 0) return fail("ftruncate");
    if (printf("%d\n", memory) < 0 || fflush(stdout) != 0) return fail("stdout");

    char order;
    ssize_t got = read(STDIN_FILENO, &order, 1);
    if (got < 0) return fail("stdin");
    if (got == 0) return 0; /* whoever asked has changed its mind */
    if (fcntl(memory, F_ADD_SEALS, EVERY_SEAL) < 0) return fail("F_ADD_SEALS");
    return puts("sealed") < 0 || fflush(stdout) != 0 ? fail("stdout") : 0;
}
