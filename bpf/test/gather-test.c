/* What the observer adds up, against the golden frames. */
#define _GNU_SOURCE
#include "gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "processes.h"
#include "support.h"

static struct gather gather;
static struct processes gathered_processes;

static void expect_next(struct bytes stream, size_t *at, uint16_t type, uint64_t time, const char *name) {
    struct frame expected = golden_frame(stream, type, time), actual = {0};
    bool whole = frame_decode(output.bytes + *at, output.used - *at, &actual) == FRAME_COMPLETE;
    expect(whole && actual.type == type, "the frame is the next one", name);
    expect(whole && actual.length == expected.length && memcmp(actual.payload, expected.payload, actual.length) == 0,
           "it has the golden bytes", name);
    *at += FRAME_HEADER_BYTES + actual.length;
}

static struct process *known(uint32_t pid) {
    return processes_get(&gathered_processes, pid == 4100 ? 5000000000u : 5200000000u, pid);
}

static void fail_to_open(uint64_t time, uint32_t pid, const char *name) {
    struct draft *draft = new_record(RECORD_OPEN_FAILED, time, pid);
    draft->record.open_failed.error = 2;
    ADD_PATH(draft, 0, "", 0);
    add(draft, 1, SECTION_TEXT, name, strlen(name), 0);
    gather_failed_open(&gather, &draft->record, known(pid));
    free(draft);
}

static struct tracked_file *open_file(uint64_t time, uint32_t pid, uint64_t inode, uint32_t how) {
    struct file_key key = {.birth = known(pid)->birth, .pid = pid, .inode = inode};
    struct tracked_file *file = processes_add_file(&gathered_processes, &key);
    struct draft *draft = new_record(RECORD_FILE, time, pid);
    draft->record.file.key = key;
    draft->record.file.mode = 0100644;
    draft->record.file.flags = 01101;
    draft->record.file.how = how;
    ADD_PATH(draft, 0, "out\xff\0u\0home\0", 15);
    gather_file(&gather, &draft->record, file);
    free(draft);
    return file;
}

static void end_process(uint64_t time, uint32_t pid, struct tracked_file *file, const struct file_value *value) {
    struct owner owner = {time, known(pid)->birth, pid, pid};
    struct draft *draft = new_record(RECORD_PROCESS_END, time, pid);
    draft->record.end.wait_status = 9 | 0x80;
    draft->record.end.flags = 2;
    draft->record.end.threads = 1;
    draft->record.end.max_rss_pages = 2048 * 1024 / (uint64_t)sysconf(_SC_PAGESIZE);
    draft->record.end.usage = (struct usage){1000000, 600000, 400000, 10, 20, 0, 4096};
    gather_totals(&gather, &output, known(pid), &owner, file, value);
    processes_remove(&gathered_processes, known(pid));
    gather_end(&gather, &draft->record);
    free(draft);
}

static size_t frames_of_type(uint16_t type) {
    struct frame frame;
    size_t found = 0;
    for (size_t at = 0; at < output.used; at += FRAME_HEADER_BYTES + frame.length) {
        if (frame_decode(output.bytes + at, output.used - at, &frame) != FRAME_COMPLETE) exit(2);
        found += frame.type == type;
    }
    return found;
}

static void test_sums(const char *directory) {
    struct bytes stream = read_file(directory, "observer-gathered.bin");
    size_t at = 0;
    gather_init(&gather);
    fail_to_open(7003000001, 4100, "/etc/ld.so.preload");
    fail_to_open(7003000002, 4100, "/etc//./ld.so.preload");
    fail_to_open(7003500001, 4101, "/../etc/ld.so.preload");
    struct tracked_file *file = open_file(7004000000, 4101, 1, 3);
    end_process(7007000000, 4101, file, &(struct file_value){.opens = 3, .writes = 3, .bytes_written = 12});
    expect(output.used == 0, "nothing is said before the batch is over", "");
    gather_flush(&gather, &output);
    expect_next(stream, &at, FRAME_DOERS, 0, "doers");
    expect_next(stream, &at, FRAME_OPEN_FAILED_SUM, 0, "open_failed_sum");
    expect_next(stream, &at, FRAME_FILE_SUM, 0, "file_sum");
    expect_next(stream, &at, RECORD_PROCESS_END, 7007000000, "the end comes behind the sums");
    expect(at == output.used, "there is nothing else", "");
    gather_flush(&gather, &output);
    expect(at == output.used, "a batch without records says nothing", "");
    output_init(&output, -1);
    free(stream.data);
}

static void test_process_that_outlives_a_batch(void) {
    struct tracked_file *file = open_file(1, 4101, 1, 1);
    gather_flush(&gather, &output);
    expect(frames_of_type(RECORD_FILE) == 1 && frames_of_type(FRAME_FILE_SUM) == 0, "it comes as a single frame", "");
    expect(open_file(2, 4101, 1, 3) == file, "the same file again", "");
    end_process(3, 4101, file, &(struct file_value){.opens = 2});
    gather_flush(&gather, &output);
    expect(frames_of_type(RECORD_FILE) == 2 && frames_of_type(FRAME_FILE_TOTALS) == 1, "and so do the totals", "");
    expect(frames_of_type(FRAME_FILE_SUM) == 0, "there is no sum", "");
    output_init(&output, -1);
    file = open_file(4, 4101, 2, 1);
    end_process(5, 4101, file, NULL);
    gather_flush(&gather, &output);
    expect(frames_of_type(RECORD_FILE) == 1 && frames_of_type(FRAME_FILE_SUM) == 0, "no totals: a single frame", "");
    output_init(&output, -1);
}

/* Records until there is no room. */
static void test_full_batch(void) {
    size_t records = 0;
    while (gather_has_room(&gather)) {
        char name[32];
        snprintf(name, sizeof(name), "/%zu", records++);
        fail_to_open(records, 4100, name);
    }
    expect(records > 4000 && records < GATHER_TEXTS, "a batch has room for thousands", "");
    int ends[2];
    if (pipe(ends) != 0) exit(2);
    pid_t reader = fork();
    if (reader == 0) {
        uint8_t bytes[65536];
        close(ends[1]);
        while (read(ends[0], bytes, sizeof(bytes)) > 0) continue;
        _exit(0);
    }
    close(ends[0]);
    output_init(&output, ends[1]);
    gather_flush(&gather, &output);
    expect(output.sent[FRAME_OPEN_FAILED_SUM] == records, "each name has its sum", "");
    expect(gather_has_room(&gather), "then there is room again", "");
    output_flush(&output);
    close(ends[1]);
    waitpid(reader, NULL, 0);
    output_init(&output, -1);
    processes_remove(&gathered_processes, known(4100));
}

void test_gathering(const char *directory) {
    test_sums(directory);
    test_process_that_outlives_a_batch();
    test_full_batch();
}
