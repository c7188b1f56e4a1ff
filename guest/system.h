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

/* Has what is said to nobody else come out of the machine's console. */
void system_use_console(void);

/*
 * A program that says something is not interrupted so that we pass it on: that is done when it waits, ends, or has used
 * up its turn of some milliseconds (sched(7)). An emulated processor pays for each switch with all that it knows of the
 * address space. What we start is scheduled as usual.
 */
int system_give_way(void);

/*
 * Waits until the kernel has put away what is left of processes that have ended or changed: it frees much of it only a
 * few ticks later (RCU callbacks, Documentation/RCU/whatisRCU.rst), and a machine that is frozen first has that still
 * before it when somebody waits for an answer.
 */
void system_settle(void);

#endif
