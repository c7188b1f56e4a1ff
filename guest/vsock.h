/*
 * The guest's end of a guest link over vsock (vsock(7)): guest init listens, the host connects.
 */
#ifndef GLASSHOUSE_VSOCK_H
#define GLASSHOUSE_VSOCK_H

/* Below 1024: no program in the guest could take it. */
#define VSOCK_LINK_PORT 1000

/* What is said on a connection once it is accepted, before any frame: one that was cut off before never has it. */
#define VSOCK_GREETING 1

/* Returns the listening descriptor, or -1 with errno set. */
int vsock_listen(unsigned int port);

/* Waits for a connection over which the greeting could be sent. Returns its descriptor, non-blocking, or -1. */
int vsock_accept(int listener);

#endif
