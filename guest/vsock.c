#define _GNU_SOURCE
#include "vsock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

int vsock_listen(unsigned int port) {
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int greet(int fd) {
    const uint8_t greeting = VSOCK_GREETING;
    ssize_t sent;
    do {
        sent = send(fd, &greeting, sizeof(greeting), MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof(greeting) ? 0 : -1;
}

/* A connection that waited while the machine was frozen was cut off with it: the host tries again. */
int vsock_accept(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == ECONNRESET)) continue;
        if (fd < 0 || greet(fd) == 0) return fd;
        close(fd);
    }
}
