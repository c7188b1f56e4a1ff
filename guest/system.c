#define _GNU_SOURCE
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define MODULE_DIRECTORY "/modules"
#define LINK_DEVICE "/dev/vport0p1"
/* A parameter that the kernel does not know becomes a variable of its first process. */
#define TRANSPORT_VARIABLE "glasshouse_link"
#define ROOT_DEVICE "/dev/vda"
#define WORKSPACE_DEVICE "/dev/vdb"

/* Devices appear a moment after their driver; under emulation that moment can be long. */
#define DEVICE_ATTEMPTS 10000
#define DEVICE_PAUSE_NS 1000000

/* A grace period takes three ticks of 4 ms or four, what it sets off one or two more; nothing tells when it is over. */
#define SETTLE_NS 24000000

static void pause_for(long nanoseconds) {
    struct timespec pause = {.tv_nsec = nanoseconds};
    nanosleep(&pause, NULL);
}

enum link_transport system_link_transport(void) {
    const char *name = getenv(TRANSPORT_VARIABLE);
    return name != NULL && strcmp(name, "vsock") == 0 ? TRANSPORT_VSOCK : TRANSPORT_SERIAL_PORT;
}

/* Modules of the other transport would only cost time; a source of entropy exists beside vsock only. */
static int is_module_for_serial_port(const struct dirent *entry) {
    return entry->d_name[0] != '.' && strstr(entry->d_name, "vsock") == NULL && strstr(entry->d_name, "rng") == NULL;
}

static int is_module_for_vsock(const struct dirent *entry) {
    return entry->d_name[0] != '.' && strstr(entry->d_name, "console") == NULL;
}

static int load_module(int directory, const char *name) {
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    long result = syscall(SYS_finit_module, fd, "", 0);
    int saved = errno;
    close(fd);
    errno = saved;
    return result == 0 || errno == EEXIST ? 0 : -1;
}

/* The image builder starts every name with a number, so that names sort in load order. */
int system_load_modules(enum link_transport transport) {
    struct dirent **entries = NULL;
    int count = scandir(MODULE_DIRECTORY, &entries,
                        transport == TRANSPORT_VSOCK ? is_module_for_vsock : is_module_for_serial_port, alphasort);
    if (count < 0) return -1;
    int directory = open(MODULE_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = directory < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        if (result == 0) result = load_module(directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (directory >= 0) close(directory);
    return result;
}

static int mount_when_present(const char *device, const char *target, unsigned long flags, const char *options) {
    for (int attempt = 0; attempt < DEVICE_ATTEMPTS; attempt++) {
        if (mount(device, target, "ext4", flags, options) == 0) return 0;
        if (errno != ENOENT && errno != ENXIO) return -1;
        pause_for(DEVICE_PAUSE_NS);
    }
    return -1;
}

static int make_device(const char *path, mode_t mode, unsigned int major_number, unsigned int minor_number) {
    if (mknod(path, S_IFCHR | mode, makedev(major_number, minor_number)) < 0) return -1;
    return chmod(path, mode);
}

/* Only what every program may use; the machine's own devices stay out of its reach. */
static int populate_dev(void) {
    if (make_device(ROOT_DIRECTORY "/dev/null", 0666, 1, 3) < 0) return -1;
    if (make_device(ROOT_DIRECTORY "/dev/zero", 0666, 1, 5) < 0) return -1;
    if (make_device(ROOT_DIRECTORY "/dev/full", 0666, 1, 7) < 0) return -1;
    if (make_device(ROOT_DIRECTORY "/dev/random", 0666, 1, 8) < 0) return -1;
    if (make_device(ROOT_DIRECTORY "/dev/urandom", 0666, 1, 9) < 0) return -1;
    if (make_device(ROOT_DIRECTORY "/dev/tty", 0666, 5, 0) < 0) return -1;
    if (symlink("/proc/self/fd", ROOT_DIRECTORY "/dev/fd") < 0) return -1;
    if (symlink("/proc/self/fd/0", ROOT_DIRECTORY "/dev/stdin") < 0) return -1;
    if (symlink("/proc/self/fd/1", ROOT_DIRECTORY "/dev/stdout") < 0) return -1;
    if (symlink("/proc/self/fd/2", ROOT_DIRECTORY "/dev/stderr") < 0) return -1;
    if (symlink("pts/ptmx", ROOT_DIRECTORY "/dev/ptmx") < 0) return -1;
    if (mkdir(ROOT_DIRECTORY "/dev/pts", 0755) < 0 || mkdir(ROOT_DIRECTORY "/dev/shm", 01777) < 0) return -1;
    if (mount("devpts", ROOT_DIRECTORY "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620") < 0)
        return -1;
    return mount("shm", ROOT_DIRECTORY "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=100%,nr_inodes=16k");
}

int system_write_text(int directory, const char *name, const char *text) {
    int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t written = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return written == (ssize_t)strlen(text) ? 0 : -1;
}

static int bring_loopback_up(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct ifreq request = {.ifr_name = "lo"};
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

/* Memory file systems may grow to the size of the machine: the program's memory limit ends it before that. */
int system_mount_root(void) {
    if (mkdir(ROOT_DIRECTORY, 0755) < 0 && errno != EEXIST) return -1;
    if (mount_when_present(ROOT_DEVICE, ROOT_DIRECTORY, MS_RDONLY | MS_NODEV | MS_NOSUID, NULL) < 0) return -1;
    if (mount("tmpfs", ROOT_DIRECTORY "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0) return -1;
    if (populate_dev() < 0) return -1;
    if (mount(NULL, ROOT_DIRECTORY "/dev", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) < 0) return -1;
    if (mount("proc", ROOT_DIRECTORY "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) return -1;
    /* The kernel takes fewer orders from a program that cannot make user namespaces; written before /proc is
     * closed to writers below, and hidepid keeps guest init's own entries private. */
    if (system_write_text(AT_FDCWD, ROOT_DIRECTORY "/proc/sys/user/max_user_namespaces", "0") < 0) return -1;
    if (mount(NULL, ROOT_DIRECTORY "/proc", NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2") < 0)
        return -1;
    if (mount("sysfs", ROOT_DIRECTORY "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -1;
    if (mount("tmpfs", ROOT_DIRECTORY "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=100%,nr_inodes=16k") < 0) return -1;
    if (mount("tmpfs", ROOT_DIRECTORY "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0) return -1;
    if (sethostname("glasshouse", 10) < 0) return -1;
    return bring_loopback_up();
}

int system_mount_workspace(void) {
    if (mount_when_present(WORKSPACE_DEVICE, WORKSPACE_DIRECTORY, MS_NOSUID | MS_NODEV | MS_NOATIME, "noinit_itable") < 0) return -1;
    if (rmdir(WORKSPACE_DIRECTORY "/lost+found") < 0 && errno != ENOENT) return -1;
    if (chown(WORKSPACE_DIRECTORY, SANDBOX_UID, SANDBOX_GID) < 0) return -1;
    return chmod(WORKSPACE_DIRECTORY, 0755);
}

/* The port exists before the host's end of it is known to be open; until then it looks as if it had hung up. */
static int wait_for_host(int fd) {
    for (int attempt = 0; attempt < DEVICE_ATTEMPTS; attempt++) {
        struct pollfd port = {.fd = fd, .events = POLLOUT};
        if (poll(&port, 1, 0) >= 0 && (port.revents & POLLHUP) == 0) return fd;
        pause_for(DEVICE_PAUSE_NS);
    }
    close(fd);
    errno = ETIMEDOUT;
    return -1;
}

int system_open_serial_port(void) {
    for (int attempt = 0; attempt < DEVICE_ATTEMPTS; attempt++) {
        int fd = open(LINK_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) return wait_for_host(fd);
        if (errno != ENOENT && errno != ENXIO && errno != ENODEV) return -1;
        pause_for(DEVICE_PAUSE_NS);
    }
    return -1;
}

int system_randomize_layout(bool randomize) {
    return system_write_text(AT_FDCWD, ROOT_DIRECTORY "/proc/sys/kernel/randomize_va_space", randomize ? "2" : "0");
}

int system_set_clock(uint64_t nanoseconds_since_1970) {
    struct timespec now = {
        .tv_sec = (time_t)(nanoseconds_since_1970 / 1000000000u),
        .tv_nsec = (long)(nanoseconds_since_1970 % 1000000000u),
    };
    return clock_settime(CLOCK_REALTIME, &now);
}

/* RNDADDENTROPY credits the bytes, RNDRESEEDCRNG makes the generator use them at once (drivers/char/random.c). */
int system_add_entropy(const uint8_t *bytes, size_t length) {
    struct {
        struct rand_pool_info info;
        uint8_t buffer[256];
    } pool;
    if (length > sizeof(pool.buffer)) {
        errno = EINVAL;
        return -1;
    }
    pool.info.entropy_count = (int)length * 8;
    pool.info.buf_size = (int)length;
    memcpy(pool.info.buf, bytes, length);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = ioctl(fd, RNDADDENTROPY, &pool);
    if (result == 0) result = ioctl(fd, RNDRESEEDCRNG);
    int saved = errno;
    explicit_bzero(&pool, sizeof(pool));
    close(fd);
    errno = saved;
    return result;
}

uint64_t system_uptime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

_Noreturn void system_power_off(void) {
    sync();
    /* The machine has no power button to press in every VMM; a restart ends it in all of them. */
    reboot(RB_AUTOBOOT);
    for (;;) pause();
}

void system_use_console(void) {
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0) return; /* a machine without a console is only harder to debug */
    for (int i = 0; i < 3; i++) dup2(fd, i);
    if (fd > 2) close(fd);
}

int system_give_way(void) {
    const struct sched_param none = {0};
    return sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none);
}

void system_settle(void) {
    pause_for(SETTLE_NS);
}
