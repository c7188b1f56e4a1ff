#ifndef GLASSHOUSE_IO_URING_H
#define GLASSHOUSE_IO_URING_H

/*
 * Neither this process nor what it starts can use io_uring, whose operations no filter of system calls sees: what a
 * monitor's own filter refuses would be done all the same. After PR_SET_NO_NEW_PRIVS. -1 with errno.
 */
int io_uring_refuse(void);

#endif
