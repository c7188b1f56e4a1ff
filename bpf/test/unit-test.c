/*
 * Unit tests of what the observer takes in and puts out, against the golden frames.
 * Usage: unit-test DIRECTORY-OF-GOLDEN-FRAMES
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "operand.h"
#include "options.h"
#include "output.h"
#include "processes.h"
#include "report.h"
#include "support.h"

/* --- what the host says --- */

static void test_follow(const char *directory) {
    struct bytes stream = read_file(directory, "host-follow.bin");
    for (size_t cut = 0; cut <= stream.length; cut++) {
        struct control control = {0};
        enum control_status first = control_take(&control, stream.data, cut);
        enum control_status second = control_take(&control, stream.data + cut, stream.length - cut);
        expect(first != CONTROL_REFUSED && second != CONTROL_REFUSED, "follow is accepted in any two pieces", "");
        expect((first == CONTROL_FOLLOWS) != (second == CONTROL_FOLLOWS), "and comes once", "");
        expect(control.pid == 4100, "with the process", "host-follow.bin");
    }
    free(stream.data);
}

static void test_refused_control(const char *directory) {
    DIR *entries = opendir(directory);
    struct dirent *entry;
    int seen = 0;
    while ((entry = readdir(entries)) != NULL) {
        if (strncmp(entry->d_name, "bad-host-", 9) != 0) continue;
        struct bytes stream = read_file(directory, entry->d_name);
        struct control control = {0};
        enum control_status status = CONTROL_WAITING;
        for (size_t i = 0; i < stream.length && status != CONTROL_REFUSED; i++)
            status = control_take(&control, stream.data + i, 1);
        expect(status == CONTROL_REFUSED, "a bad stream is refused", entry->d_name);
        seen++;
        free(stream.data);
    }
    closedir(entries);
    expect(seen >= 10, "there are refused streams to read", directory);
}

static void test_options(void) {
    struct options options;
    char *good[] = {"observer", "--ring-bytes", "65536", "--argv-bytes", "0"};
    expect(options_parse(&options, 1, good) && options.ring_bytes == 8 << 20, "defaults", "");
    expect(options.gather_ms == 0, "nothing is gathered unasked", "");
    expect(options_parse(&options, 5, good) && options.ring_bytes == 65536 && options.argv_bytes == 0, "flags", "");
    static const char *bad[][2] = {
        {"--ring-bytes", "4095"},  {"--ring-bytes", "1073741825"}, {"--ring-bytes", "99999999999999999999"},
        {"--ring-bytes", " 4096"}, {"--ring-bytes", "0x1000"},     {"--argv-bytes", "1"},
        {"--peer-records", ""},    {"--file-records", "-1"},       {"-h", "1"},
        {"--gather-ms", "1001"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *arguments[] = {"observer", (char *)(uintptr_t)bad[i][0], (char *)(uintptr_t)bad[i][1]};
        expect(!options_parse(&options, 3, arguments), "a bad flag is refused", bad[i][1]);
    }
}

/* --- what the observer says --- */

static void expect_frame(struct bytes stream, uint16_t type, uint64_t time, const char *name) {
    struct frame expected = golden_frame(stream, type, time), actual;
    bool whole = frame_decode(output.bytes, output.used, &actual) == FRAME_COMPLETE;
    expect(whole && actual.type == type, "one whole frame", name);
    expect(whole && actual.length == expected.length && memcmp(actual.payload, expected.payload, actual.length) == 0,
           "it has the golden bytes", name);
    output_init(&output, -1);
}

static void expect_record(struct bytes stream, struct draft *draft, const char *name) {
    size_t size = sizeof(draft->record) + draft->record.data_bytes;
    expect(record_is_whole(&draft->record, size), "the record is whole", name);
    report_record(&output, &draft->record, draft->record.type == RECORD_FILE ? draft->record.file.tracked : 0);
    expect_frame(stream, draft->record.type, draft->record.time, name);
    free(draft);
}

static void test_process_frames(struct bytes stream) {
    struct draft *draft = new_record(RECORD_PROCESS, 7002000000, 4100);
    draft->record.process.parent_birth = 4999999999;
    draft->record.process.parent_pid = 4000;
    draft->record.process.namespace_pid = 4100;
    draft->record.process.flags = 1;
    expect_record(stream, draft, "process");

    draft = new_record(RECORD_EXEC, 7002000001, 4100);
    draft->record.exec.real_uid = draft->record.exec.effective_uid = 1000;
    draft->record.exec.argv_bytes = 25;
    ADD_PATH(draft, 0, "dash\0bin\0usr\0", 0);
    ADD_PATH(draft, 1, "u\0home\0", 0);
    ADD_TEXT(draft, 2, "/bin/sh");
    ADD_TEXT(draft, 3, "");
    struct frame golden = golden_frame(stream, RECORD_EXEC, 7002000001);
    draft->record.exec.argv_bytes = get_u32(golden.payload + 36);
    expect_record(stream, draft, "exec");

    draft = new_record(RECORD_ARGV, 7002000001, 4100);
    ADD_BYTES(draft, 0, "sh\0-c\0");
    expect_record(stream, draft, "argv");

    draft = new_record(RECORD_PROCESS_END, 7007000000, 4101);
    draft->record.end.wait_status = 9 | 0x80;
    draft->record.end.flags = 2;
    draft->record.end.threads = 1;
    draft->record.end.max_rss_pages = 2048 * 1024 / (uint64_t)sysconf(_SC_PAGESIZE);
    draft->record.end.usage = (struct usage){1000000, 600000, 400000, 10, 20, 0, 4096};
    expect_record(stream, draft, "process_end");
}

static void test_file_frames(struct bytes stream) {
    struct draft *draft = new_record(RECORD_FILE, 7004000000, 4101);
    draft->record.file.tracked = 2;
    draft->record.file.key.inode = (1ull << 53) + 1;
    draft->record.file.device = 0x1c;
    draft->record.file.mode = 0100644;
    draft->record.file.flags = 01101;
    draft->record.file.how = 3;
    ADD_PATH(draft, 0, "out\xff\0u\0home\0", 15);
    expect_record(stream, draft, "file");

    draft = new_record(RECORD_OPEN_FAILED, 7003000001, 4100);
    draft->record.open_failed.error = 2;
    ADD_PATH(draft, 0, "", 0);
    ADD_TEXT(draft, 1, "/etc/ld.so.preload");
    expect_record(stream, draft, "open_failed: the path of no component is the root");

    draft = new_record(RECORD_CHANGE, 7004000001, 4101);
    draft->record.change.operation = 1;
    draft->record.change.detail = 1;
    ADD_PATH(draft, 0, "u\0home\0", 0);
    ADD_TEXT(draft, 1, "a");
    ADD_PATH(draft, 2, "d\0u\0home\0", 0);
    ADD_TEXT(draft, 3, "../b");
    expect_record(stream, draft, "change with two operands");

    draft = new_record(RECORD_CHANGE, 7004000002, 4101);
    draft->record.change.operation = 9;
    draft->record.change.error = 13;
    draft->record.change.detail = UINT64_MAX;
    ADD_PATH(draft, 0, "f\0u\0home\0", 0);
    ADD_TEXT(draft, 1, "");
    expect_record(stream, draft, "change with one operand");

    struct owner owner = {7007000000, 5200000000, 4101, 4101};
    report_file_totals(&output, &owner, 2, &(struct file_value){.opens = 1, .writes = 3, .bytes_written = 12});
    expect_frame(stream, FRAME_FILE_TOTALS, 7007000000, "file_totals");
}

static void test_network_frames(struct bytes stream) {
    static const char server[] = "\2\0\0\65\177\0\0\65\0\0\0\0\0\0\0";
    static const char own[] = "\2\0\234\100\177\0\0\1\0\0\0\0\0\0\0";
    struct draft *draft = new_record(RECORD_SOCKET, 7005000000, 4100);
    draft->record.socket.key.inode = 777;
    draft->record.socket.operation = 1;
    draft->record.socket.error = 115;
    draft->record.socket.family = draft->record.socket.type = 2;
    draft->record.socket.protocol = 17;
    add(draft, 0, SECTION_BYTES, server, 16, 0);
    add(draft, 1, SECTION_BYTES, own, 16, 0);
    add(draft, 2, SECTION_BYTES, server, 16, 0);
    expect_record(stream, draft, "socket");

    struct frame golden = golden_frame(stream, RECORD_DNS, 0);
    draft = new_record(RECORD_DNS, 7005000002, 4100);
    draft->record.dns.inode = 777;
    add(draft, 0, SECTION_BYTES, server, 16, 0);
    add(draft, 1, SECTION_BYTES, golden.payload + 50, golden.length - 50, 0);
    expect_record(stream, draft, "dns");

    struct owner owner = {8100000000, 5000000000, 4100, 4100};
    struct peer_key key = {.inode = 777, .family = 2, .address = {127, 0, 0, 53}};
    memcpy(&key.port, server + 2, 2);
    report_peer_totals(&output, &owner, &key,
                       &(struct peer_value){1, 1, golden.length - 50, 64, 2});
    expect_frame(stream, FRAME_PEER_TOTALS, 8100000000, "peer_totals");
}

static void test_other_frames(struct bytes stream) {
    struct draft *draft = new_record(RECORD_NOTABLE, 7006000000, 4100);
    draft->record.notable.number = 101;
    draft->record.notable.result = -1;
    draft->record.notable.arguments[5] = UINT64_MAX;
    expect_record(stream, draft, "notable");

    static struct call_count counts[CALLS_PER_ABI * ABIS];
    counts[257] = (struct call_count){3, 1, 0, 0};
    counts[CALLS_PER_ABI + 20] = (struct call_count){1, 0, 0, 0};
    struct frame golden = golden_frame(stream, FRAME_SYSCALLS, 0);
    report_syscalls(&output, counts);
    expect(output.used == FRAME_HEADER_BYTES + 80 && memcmp(output.bytes + 12, golden.payload, 80) == 0,
           "calls have the golden bytes", "syscalls");
    output_init(&output, -1);
    for (size_t i = 0; i < CALLS_PER_ABI * ABIS; i++) counts[i].calls = 1;
    report_syscalls(&output, counts);
    size_t frames = 0;
    struct frame frame;
    for (size_t at = 0; at < output.used; at += FRAME_HEADER_BYTES + frame.length) {
        expect(frame_decode(output.bytes + at, output.used - at, &frame) == FRAME_COMPLETE, "whole", "syscalls");
        frames++;
    }
    expect(frames == ABIS, "many calls are several frames", "syscalls");
    output_init(&output, -1);

    report_failed(&output, STAGE_LOAD, 1, "load_refused", "verifier: \xc3\xa4\n");
    expect(output.used > FRAME_HEADER_BYTES, "failed", "failed");
    output_init(&output, -1);
}

static void test_records_that_are_not_whole(void) {
    struct draft *draft = new_record(RECORD_FILE, 1, 1);
    ADD_PATH(draft, 0, "a\0b\0", 0);
    size_t size = sizeof(draft->record) + draft->record.data_bytes;
    expect(record_is_whole(&draft->record, size), "a whole record", "");
    expect(!record_is_whole(&draft->record, size - 1), "a byte is missing", "");
    expect(!record_is_whole(&draft->record, sizeof(draft->record) - 1), "the record is cut off", "");
    draft->record.sections[1].length = 1;
    expect(!record_is_whole(&draft->record, size), "a section lies outside", "");
    free(draft);
}

/* --- processes --- */

static void test_processes(void) {
    static struct processes processes;
    struct file_key key = {.birth = 1, .pid = 2, .inode = 3};
    struct peer_key peer = {.birth = 1, .pid = 2};
    struct tracked_file *file = processes_add_file(&processes, &key);
    uint64_t number = file->number;
    expect(processes_add_file(&processes, &key) == file, "the same key is the same file", "");
    key.access = 1;
    expect(processes_add_file(&processes, &key)->number != number, "another key has another number", "");
    expect(processes_add_peer(&processes, &peer), "a peer", "");
    expect(processes_find(&processes, 1, 3) == NULL && processes_find(&processes, 2, 2) == NULL, "not there", "");
    for (uint32_t pid = 10; pid < 20000; pid++) {
        key.pid = pid;
        processes_add_file(&processes, &key);
    }
    expect(processes.count == 19991, "processes are counted", "");
    processes_remove(&processes, processes_find(&processes, 1, 2));
    key.pid = 2;
    key.access = 0;
    expect(processes_add_file(&processes, &key)->number != number, "a process that is gone has taken its files along", "");
    struct process *process;
    while ((process = processes_any(&processes)) != NULL) processes_remove(&processes, process);
    expect(processes.count == 0, "nothing is left", "");
}

static void test_operands(void) {
    static const struct {
        const char *components, *name, *path;
    } cases[] = {
        {"u|home|", "f", "/home/u/f"},       {"u|home|", "", "/home/u"},     {"u|home|", "./f", "/home/u/f"},
        {"u|home|", "../f", "/home/f"},      {"u|home|", "../../../f", "/f"}, {"u|home|", "..", "/home"},
        {"u|home|", "../..", "/"},           {"u|home|", "a/../f", "/home/u/a/../f"},
        {"u|home|", "a//b/", "/home/u/a/b"}, {"", "/f", "/f"},               {"", "/", "/"},
        {"jail|", "/../f", "/jail/f"},       {"", ".", "/"},                  {"u|home|", "./../f", "/home/f"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct draft *draft = new_record(RECORD_OPEN_FAILED, 1, 4100);
        uint8_t text[256];
        char components[64] = "";
        size_t length = strlen(cases[i].components);
        for (size_t k = 0; k < length; k++) components[k] = cases[i].components[k] == '|' ? '\0' : cases[i].components[k];
        add(draft, 0, SECTION_PATH, components, length, 0);
        add(draft, 1, SECTION_TEXT, cases[i].name, strlen(cases[i].name), 0);
        size_t used = resolve_operand(text, &draft->record, 0);
        expect(used == strlen(cases[i].path) && memcmp(text, cases[i].path, used) == 0, "the name is resolved",
               cases[i].path);
        free(draft);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: unit-test DIRECTORY-OF-GOLDEN-FRAMES\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct bytes run = read_file(argv[1], "observer-run.bin");
    output_init(&output, -1);
    test_follow(argv[1]);
    test_refused_control(argv[1]);
    test_options();
    test_process_frames(run);
    test_file_frames(run);
    test_network_frames(run);
    test_other_frames(run);
    test_records_that_are_not_whole();
    test_processes();
    test_operands();
    test_gathering(argv[1]);
    test_output();
    free(run.data);
    return all_passed() ? 0 : 1;
}
