/*
 * PID 1 of a guest that means harm or is broken. Brings the guest link up as guest init does, then does what the
 * digits in `behaviour` say; the test writes them into the binary.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "system.h"

static const volatile char behaviour[] = "EVIL-BEHAVIOUR=00";

enum {
    PANIC_BEFORE_HELLO,
    SILENT_BEFORE_HELLO,
    PANIC_AFTER_HELLO,
    SILENT_AFTER_HELLO,
    PANIC_WHILE_RUNNING,
    REBOOT_WHILE_RUNNING,
    POWER_OFF_WHILE_RUNNING,
    HALT_WHILE_RUNNING,
    SPIN_WHILE_RUNNING,
    GARBAGE_WHILE_RUNNING,
    CONSOLE_FLOOD_WHILE_RUNNING,
    OUTPUT_FLOOD_FOR_EVER,
    REPEATED_FRAME,
    SILENT_AFTER_EXIT,
};

static struct link guest_link;

static int chosen(void) {
    const volatile char *digits = strchr((const char *)behaviour, '=') + 1;
    return (digits[0] - '0') * 10 + (digits[1] - '0');
}

static void send_all(uint16_t type, const void *payload, uint32_t length) {
    if (!link_send(&guest_link, type, payload, length) || !link_drain(&guest_link)) system_power_off();
}

static void say_hello(void) {
    uint8_t payload[12] = {LINK_PROTOCOL_VERSION};
    send_all(FRAME_HELLO, payload, sizeof(payload));
}

static void await_start(void) {
    struct frame frame;
    enum link_status status = LINK_OK;
    for (;;) {
        if (link_fill(&guest_link) == LINK_CLOSED) system_power_off();
        while (link_next(&guest_link, &frame, &status)) {
            if (frame.type == FRAME_START) return;
        }
        usleep(1000);
    }
}

static void panic_now(void) {
    mkdir("/proc", 0555);
    mount("proc", "/proc", "proc", 0, NULL);
    int fd = open("/proc/sysrq-trigger", O_WRONLY);
    if (fd < 0 || write(fd, "c", 1) != 1) _exit(1); /* an init that exits panics as well */
}

static void flood_link(const void *bytes, size_t length) {
    for (;;) {
        if (write(guest_link.fd, bytes, length) < 0) usleep(1000);
    }
}

static void flood_stdout(void) {
    static uint8_t chunk[FRAME_MAX_PAYLOAD];
    memset(chunk, 'x', sizeof(chunk));
    for (;;) send_all(FRAME_STDOUT, chunk, sizeof(chunk));
}

static void flood_console(void) {
    int fd = open("/dev/console", O_WRONLY);
    static char line[4096];
    memset(line, 0x1b, sizeof(line));
    while (write(fd, line, sizeof(line)) > 0) continue;
}

static void repeat_frame(void) {
    uint8_t frame[FRAME_HEADER_BYTES + 1];
    frame_encode_header(frame, FRAME_STDOUT, guest_link.next_sequence, 1);
    frame[FRAME_HEADER_BYTES] = 'x';
    flood_link(frame, sizeof(frame));
}

static void silence(void) {
    for (;;) pause();
}

static void connect_link(void) {
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    if (system_load_modules(TRANSPORT_SERIAL_PORT) < 0) _exit(1);
    link_init(&guest_link, system_open_serial_port());
}

static void misbehave_while_running(int what) {
    static const uint8_t zero[44];
    send_all(FRAME_STARTED, zero, 8);
    switch (what) {
    case PANIC_WHILE_RUNNING: panic_now(); break;
    case REBOOT_WHILE_RUNNING: reboot(RB_AUTOBOOT); break;
    case POWER_OFF_WHILE_RUNNING: reboot(RB_POWER_OFF); break;
    case HALT_WHILE_RUNNING: reboot(RB_HALT_SYSTEM); break;
    case SPIN_WHILE_RUNNING: for (volatile int i = 0;; i++) continue;
    case GARBAGE_WHILE_RUNNING: flood_link("\xff\xff\xff\xff\xff\xff\xff", 7); break;
    case CONSOLE_FLOOD_WHILE_RUNNING: flood_console(); break;
    case OUTPUT_FLOOD_FOR_EVER: flood_stdout(); break;
    case REPEATED_FRAME: repeat_frame(); break;
    case SILENT_AFTER_EXIT: send_all(FRAME_EXITED, zero, sizeof(zero)); break;
    default: break;
    }
    silence();
}

int main(void) {
    int what = chosen();
    if (what == PANIC_BEFORE_HELLO) _exit(1);
    connect_link();
    if (what == SILENT_BEFORE_HELLO) silence();
    say_hello();
    if (what == PANIC_AFTER_HELLO) panic_now();
    if (what == SILENT_AFTER_HELLO) silence();
    await_start();
    misbehave_while_running(what);
}
