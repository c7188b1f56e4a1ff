/* What a script cannot do: known programs for the observer to watch. Usage: workload NAME [ARG] */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* getpid (20) and open (5) of i386 */
static int foreign_abi(void) {
    for (int i = 0; i < 7; i++) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    }
    return 0;
}

static void *open_in_thread(void *name) {
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return NULL;
}

/* Every thread opens a file of its own: DIRECTORY/0 to DIRECTORY/9. */
static int threads(const char *directory) {
    pthread_t ids[10];
    char names[10][4096];
    for (int i = 0; i < 10; i++) {
        snprintf(names[i], sizeof(names[i]), "%.4000s/%d", directory, i);
        if (pthread_create(&ids[i], NULL, open_in_thread, names[i]) != 0) return 1;
    }
    for (int i = 0; i < 10; i++) pthread_join(ids[i], NULL);
    return 0;
}

static int storm(long count) {
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) _exit((int)(i & 1));
        waitpid(child, NULL, 0);
    }
    return 0;
}

static int vforks(void) {
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}

/* The calls whose cost is measured. */
static int calls(long getppids, long opens) {
    for (long i = 0; i < getppids; i++) syscall(SYS_getppid);
    for (long i = 0; i < opens; i++) {
        int fd = open("/dev/null", O_RDONLY);
        if (fd >= 0) close(fd);
    }
    return 0;
}

/* An exec from a thread that is not the first: it becomes the process. */
static void *exec_in_thread(void *unused) {
    (void)unused;
    execl("/bin/true", "true", "from-thread", (char *)NULL);
    return NULL;
}

static int thread_exec(void) {
    pthread_t id;
    if (pthread_create(&id, NULL, exec_in_thread, NULL) != 0) return 1;
    pause();
    return 1;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "int80") == 0) return foreign_abi();
    if (strcmp(name, "threads") == 0 && argc > 2) return threads(argv[2]);
    if (strcmp(name, "storm") == 0 && argc > 2) return storm(atol(argv[2]));
    if (strcmp(name, "vfork") == 0) return vforks();
    if (strcmp(name, "thread-exec") == 0) return thread_exec();
    if (strcmp(name, "calls") == 0 && argc > 3) return calls(atol(argv[2]), atol(argv[3]));
    fprintf(stderr, "usage: workload int80|threads DIRECTORY|storm COUNT|vfork|thread-exec|calls GETPPIDS OPENS\n");
    return 2;
}
