/* The compiled programs, embedded at build time by `bpftool gen skeleton`. */
#ifndef GLASSHOUSE_SKELETONS_H
#define GLASSHOUSE_SKELETONS_H

#include <stddef.h>

const void *observer_bpf__elf_bytes(size_t *size);
const void *early_bpf__elf_bytes(size_t *size);

#endif
