#ifndef GLASSHOUSE_TEMPLATE_CONFINE_H
#define GLASSHOUSE_TEMPLATE_CONFINE_H

#include <sys/types.h>

/*
 * In a copy, before it has other threads: becomes `owner` (0: stays who it is) without any privilege, dies with its
 * parent, and has from then on only the system calls that an emulator needs to go on: it can neither start programs nor
 * open files or sockets nor reach other processes. -1 with errno.
 */
int confine(uid_t owner);

#endif
