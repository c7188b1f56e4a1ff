#include "record.h"
#include "skeletons.h"

/* The generated functions are static: here they get names for the rest of the program. */
#define observer_bpf__elf_bytes generated_observer_elf_bytes
#define early_bpf__elf_bytes generated_early_elf_bytes
#include "observer.skel.h"
#include "early.skel.h"
#undef observer_bpf__elf_bytes
#undef early_bpf__elf_bytes

const void *observer_bpf__elf_bytes(size_t *size) {
    return generated_observer_elf_bytes(size);
}

const void *early_bpf__elf_bytes(size_t *size) {
    return generated_early_elf_bytes(size);
}
