#define _GNU_SOURCE
#include "descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define INHERITED_MAX 16

/* A monitor closes what it has inherited when it has it under another number, and uses the number again. */
static struct stat inherited[INHERITED_MAX];
static bool was_inherited[INHERITED_MAX];

void descriptors_remember(void) {
    for (int i = 0; i < INHERITED_MAX; i++) was_inherited[i] = fstat(i, &inherited[i]) == 0;
}

static int put_in_place(int number, int replacement) {
    int descriptor_flags = fcntl(number, F_GETFD);
    int status_flags = fcntl(number, F_GETFL);
    if (descriptor_flags < 0 || status_flags < 0) return -1;
    if (fcntl(replacement, F_SETFL, status_flags) < 0) return -1;
    return dup3(replacement, number, (descriptor_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0) < 0 ? -1 : 0;
}

/* One that was about to be noticed must not be lost; one that is noticed in vain does no harm. */
static int put_counter_in_place(int number) {
    int counter = eventfd(1, EFD_CLOEXEC);
    if (counter < 0) return -1;
    int result = put_in_place(number, counter);
    close(counter);
    return result;
}

static bool is_same_file(const struct stat *one, const struct stat *other) {
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Descriptors of files that have no name but a kind. A signalfd(2) shows each process its own signals. */
static int replace_anonymous(int number, const char *kind) {
    if (strcmp(kind, "anon_inode:[eventfd]") == 0) return put_counter_in_place(number);
    if (strncmp(kind, "anon_inode:", strlen("anon_inode:")) != 0 || strcmp(kind, "anon_inode:[signalfd]") == 0) return 0;
    errno = ENOTSUP;
    return -1;
}

static int replace_one(int number, const int *originals, const int *replacements, int count) {
    struct stat status;
    char link[sizeof("/proc/self/fd/") + 3 * sizeof(number)];
    char target[64];
    for (int i = 0; i < count; i++) {
        if (number == replacements[i]) return 0;
    }
    if (fstat(number, &status) < 0) return -1;
    for (int i = 0; i < count; i++) {
        if (is_same_file(&status, &inherited[originals[i]])) return put_in_place(number, replacements[i]);
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", number);
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    if (length < 0) return -1;
    target[length] = '\0';
    return replace_anonymous(number, target);
}

int descriptors_replace(const int *originals, const int *replacements, int count) {
    for (int i = 0; i < count; i++) {
        if (originals[i] >= 0 && originals[i] < INHERITED_MAX && was_inherited[originals[i]]) continue;
        errno = EBADF;
        return -1;
    }
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) return -1;
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(directory)) != NULL;) {
        int number = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == dirfd(directory)) continue;
        result = replace_one(number, originals, replacements, count);
    }
    int saved_errno = errno;
    closedir(directory);
    errno = saved_errno;
    return result;
}
