/*
 * What guest init does to the machine before any program runs: modules, mounts, clock, entropy.
 */
#ifndef GLASSHOUSE_SYSTEM_H
#define GLASSHOUSE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROOT_DIRECTORY "/root"
#define WORKSPACE_DIRECTORY ROOT_DIRECTORY "/workspace"
#define SANDBOX_UID 1000
#define SANDBOX_GID 1000

/* What the guest link goes over: the monitor's kernel command line says it. */
enum link_transport { TRANSPORT_SERIAL_PORT, TRANSPORT_VSOCK };
enum link_transport system_link_transport(void);

/* Each of these returns 0 or -1 with errno set. */
int system_load_modules(enum link_transport transport);
int system_mount_root(void);
int system_mount_workspace(void);
int system_open_serial_port(void); /* returns the descriptor */
/* Writes a setting of the kernel: a file below `directory`, or anywhere with AT_FDCWD. */
int system_write_text(int directory, const char *name, const char *text);
/* Of the address space of every process that is executed from now on. */
int system_randomize_layout(bool randomize);
int system_set_clock(uint64_t nanoseconds_since_1970);
int system_add_entropy(const uint8_t *bytes, size_t length);

/* Nanoseconds since the kernel started (CLOCK_BOOTTIME). */
uint64_t system_uptime_ns(void);

/* Never returns. */
_Noreturn void system_power_off(void);

#endif
