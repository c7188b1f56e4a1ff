/*
 * The programs as `bpftool gen skeleton -L` embeds them: with a program that has the kernel load them (bpf(2),
 * BPF_PROG_TYPE_SYSCALL). It finds the kernel's own types in memory; libbpf reads and searches 5 MB of them first.
 */
#ifndef GLASSHOUSE_LIGHT_H
#define GLASSHOUSE_LIGHT_H

#include "options.h"
#include "record.h"

struct observer_light;

/* Null: `error` is a negative errno. */
struct observer_light *light_load(const struct options *options, const struct settings *settings, int *error);

/* Descriptors; negative when there is none of that name. */
int light_map(const struct observer_light *light, const char *name);
int light_program(const struct observer_light *light, const char *name);

void light_close(struct observer_light *light);

#endif
