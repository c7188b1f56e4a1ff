/*
 * Runs a fuzz target without libFuzzer: mutates the given files with a fixed seed.
 * Usage: fuzz-request [-runs=N] [-option=...] DIRECTORY
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES (256u << 10)
#define MAX_SEEDS 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    uint8_t *data;
    size_t length;
} seeds[MAX_SEEDS];
static size_t seed_count;

static void load(const char *directory) {
    DIR *entries = opendir(directory);
    struct dirent *entry;
    char path[4096];
    if (entries == NULL) return;
    while ((entry = readdir(entries)) != NULL && seed_count < MAX_SEEDS) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (file == NULL) continue;
        seeds[seed_count].data = malloc(INPUT_BYTES);
        seeds[seed_count].length = fread(seeds[seed_count].data, 1, INPUT_BYTES, file);
        seed_count++;
        fclose(file);
    }
    closedir(entries);
}

static void mutate(uint8_t *data, size_t length, unsigned int *random) {
    int changes = rand_r(random) % 8;
    for (int i = 0; i < changes && length > 0; i++) {
        data[(size_t)rand_r(random) % length] = (uint8_t)rand_r(random);
    }
}

int main(int count, char **arguments) {
    static uint8_t input[INPUT_BYTES];
    long runs = 100000;
    unsigned int random = 1;
    for (int i = 1; i < count; i++) {
        if (strncmp(arguments[i], "-runs=", 6) == 0) runs = atol(arguments[i] + 6);
        else if (arguments[i][0] != '-') load(arguments[i]);
    }
    if (seed_count == 0) return 2;
    for (long run = 0; run < runs; run++) {
        size_t which = (size_t)rand_r(&random) % seed_count;
        size_t length = seeds[which].length;
        if (rand_r(&random) % 4 == 0 && length > 0) length = (size_t)rand_r(&random) % length;
        memcpy(input, seeds[which].data, length);
        mutate(input, length, &random);
        LLVMFuzzerTestOneInput(input, length);
    }
    printf("fuzz: %ld runs\n", runs);
    return 0;
}
