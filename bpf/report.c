#include "report.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "operand.h"

#define EM_X86_64 62
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define SIGNAL_MASK 0x7f
#define CORE_DUMPED 0x80

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t monotonic_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t kib_of_pages(uint64_t pages) {
    return pages * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

void report_loaded(struct output *output, const struct options *options, const char *const *uses, size_t count) {
    output_begin(output);
    output_put_u32(output, OBSERVER_PROTOCOL_VERSION);
    output_put_u32(output, EM_X86_64);
    output_put_u64(output, clock_ns(CLOCK_MONOTONIC));
    output_put_u64(output, clock_ns(CLOCK_REALTIME));
    output_put_u64(output, clock_ns(CLOCK_BOOTTIME));
    output_put_u32(output, options->ring_bytes);
    output_put_u32(output, options->file_records);
    output_put_u32(output, options->peer_records);
    output_put_u32(output, options->argv_bytes);
    for (size_t i = 0; i < count; i++) output_put(output, uses[i], strlen(uses[i]) + 1);
    output_end(output, FRAME_LOADED);
}

void report_attached(struct output *output, uint32_t pid) {
    output_begin(output);
    output_put_u32(output, pid);
    output_put_u32(output, 0);
    output_put_u64(output, monotonic_ns());
    output_end(output, FRAME_ATTACHED);
}

void report_failed(struct output *output, enum stage stage, int error, const char *reason, const char *detail) {
    size_t length = strlen(detail);
    output_begin(output);
    output_put_u32(output, stage);
    output_put_u32(output, (uint32_t)error);
    output_put_text(output, reason, strlen(reason), 0);
    output_put_text(output, detail, length > 1024 ? 1024 : length, 0);
    output_end(output, FRAME_FAILED);
}

bool record_is_whole(const struct record *record, size_t size) {
    size_t sections = 0;
    if (size < sizeof(*record) || record->data_bytes > DATA_LIMIT + PATH_LIMIT) return false;
    if (size - sizeof(*record) < record->data_bytes) return false;
    for (int i = 0; i < MAX_SECTIONS; i++) sections += record->sections[i].length;
    return sections <= record->data_bytes;
}

struct owner owner_of(const struct record *record) {
    return (struct owner){record->time, record->birth, record->pid, record->tid};
}

void report_put_head(struct output *output, const struct owner *owner) {
    output_put_u64(output, owner->time);
    output_put_u64(output, owner->birth);
    output_put_u32(output, owner->pid);
    output_put_u32(output, owner->tid);
}

static void put_section(struct output *output, const struct record *record, int index) {
    const struct section *section = &record->sections[index];
    const uint8_t *data = section_data(record, index);
    if (section->kind == SECTION_PATH) {
        uint8_t path[DATA_LIMIT + PATH_LIMIT];
        output_put_text(output, path, path_of_section(path, record, index), section->flags);
    } else if (section->kind == SECTION_TEXT) {
        output_put_text(output, data, section->length, section->flags);
    } else {
        output_put_u16(output, section->length);
        output_put(output, data, section->length);
    }
}

static void put_sections(struct output *output, const struct record *record, int count) {
    for (int i = 0; i < count; i++) put_section(output, record, i);
}

/* No second operand: path and text of length 0. */
static void put_no_operand(struct output *output) {
    output_put_u32(output, 0);
    output_put_u32(output, 0);
}

static void put_end(struct output *output, const struct record *record) {
    uint32_t status = record->end.wait_status, signal = status & SIGNAL_MASK;
    output_put_u32(output, signal == 0 ? status >> 8 & 0xff : 0);
    output_put_u32(output, signal);
    output_put_u32(output, record->end.flags | ((status & CORE_DUMPED) ? 1 : 0));
    output_put_u32(output, record->end.threads);
    output_put_u64(output, record->end.usage.cpu);
    output_put_u64(output, record->end.usage.user);
    output_put_u64(output, record->end.usage.system);
    output_put_u64(output, kib_of_pages(record->end.max_rss_pages));
    output_put_u64(output, record->end.usage.rchar);
    output_put_u64(output, record->end.usage.wchar);
    output_put_u64(output, record->end.usage.read_bytes);
    output_put_u64(output, record->end.usage.write_bytes);
}

struct used_file used_file_of(const struct record *record, uint64_t number) {
    return (struct used_file){
        .number = number,
        .inode = record->file.key.inode,
        .device = record->file.device,
        .mode = record->file.mode,
        .flags = record->file.flags,
        .how = record->file.how,
    };
}

static void put_file(struct output *output, const struct used_file *used) {
    output_put_u64(output, used->number);
    output_put_u64(output, used->inode);
    output_put_u32(output, used->device);
    output_put_u32(output, used->mode);
    output_put_u32(output, used->flags);
    output_put_u32(output, used->how);
}

static void put_socket(struct output *output, const struct record *record) {
    output_put_u64(output, record->socket.key.inode);
    output_put_u32(output, record->socket.operation);
    output_put_u32(output, record->socket.error);
    output_put_u16(output, record->socket.family);
    output_put_u16(output, record->socket.type);
    output_put_u32(output, record->socket.protocol);
    put_sections(output, record, 3);
}

static void put_notable(struct output *output, const struct record *record) {
    int64_t result = record->notable.result;
    output_put_u16(output, ABI_NATIVE);
    output_put_u16(output, record->notable.number);
    output_put_u32(output, result < 0 && result >= -4095 ? (uint32_t)-result : 0);
    output_put_u64(output, (uint64_t)result);
    for (int i = 0; i < 6; i++) output_put_u64(output, record->notable.arguments[i]);
}

static void put_body(struct output *output, const struct record *record, uint64_t file_number) {
    struct used_file used;
    switch (record->type) {
    case RECORD_PROCESS:
        output_put_u64(output, record->process.parent_birth);
        output_put_u32(output, record->process.parent_pid);
        output_put_u32(output, record->process.namespace_pid);
        output_put_u32(output, record->process.flags);
        return;
    case RECORD_EXEC:
        output_put_u32(output, record->exec.flags);
        output_put_u32(output, record->exec.real_uid);
        output_put_u32(output, record->exec.effective_uid);
        output_put_u32(output, record->exec.argv_bytes);
        put_sections(output, record, 4);
        return;
    case RECORD_ARGV:
        output_put(output, section_data(record, 0), record->sections[0].length);
        return;
    case RECORD_PROCESS_END:
        put_end(output, record);
        return;
    case RECORD_FILE:
        used = used_file_of(record, file_number);
        put_file(output, &used);
        put_section(output, record, 0);
        return;
    case RECORD_OPEN_FAILED:
        output_put_u32(output, record->open_failed.error);
        output_put_u32(output, record->open_failed.flags);
        put_sections(output, record, 2);
        return;
    case RECORD_CHANGE:
        output_put_u32(output, record->change.operation);
        output_put_u32(output, record->change.error);
        output_put_u64(output, record->change.detail);
        put_sections(output, record, 2);
        if (record->sections[2].kind == SECTION_NONE) {
            put_no_operand(output);
        } else {
            put_section(output, record, 2);
            put_section(output, record, 3);
        }
        return;
    case RECORD_SOCKET:
        put_socket(output, record);
        return;
    case RECORD_DNS:
        output_put_u64(output, record->dns.inode);
        put_section(output, record, 0);
        output_put(output, section_data(record, 1), record->sections[1].length);
        return;
    case RECORD_NOTABLE:
        put_notable(output, record);
        return;
    }
}

void report_record(struct output *output, const struct record *record, uint64_t file_number) {
    struct owner owner = owner_of(record);
    output_begin(output);
    report_put_head(output, &owner);
    put_body(output, record, file_number);
    output_end(output, record->type);
}

void report_used_file(struct output *output, const struct owner *owner, const struct used_file *used,
                      const uint8_t *path, size_t length, uint16_t flags) {
    output_begin(output);
    report_put_head(output, owner);
    put_file(output, used);
    output_put_text(output, path, length, flags);
    output_end(output, RECORD_FILE);
}

void report_file_totals(struct output *output, const struct owner *owner, uint64_t number,
                        const struct file_value *value) {
    output_begin(output);
    report_put_head(output, owner);
    output_put_u64(output, number);
    output_put_u64(output, value->opens);
    output_put_u64(output, value->reads);
    output_put_u64(output, value->writes);
    output_put_u64(output, value->bytes_read);
    output_put_u64(output, value->bytes_written);
    output_put_u32(output, value->mapped);
    output_end(output, FRAME_FILE_TOTALS);
}

/* The peer as a struct sockaddr_in or sockaddr_in6; length 0 for anything else. */
static void put_peer(struct output *output, const struct peer_key *key) {
    bool inet = key->family == FAMILY_INET, inet6 = key->family == FAMILY_INET6;
    uint8_t address[28] = {0};
    if (key->port == 0 || (!inet && !inet6)) {
        output_put_u16(output, 0);
        return;
    }
    memcpy(address, &key->family, 2);
    memcpy(address + 2, &key->port, 2);
    memcpy(address + (inet ? 4 : 8), key->address, inet ? 4 : 16);
    output_put_u16(output, inet ? 16 : 28);
    output_put(output, address, inet ? 16 : 28);
}

void report_peer_totals(struct output *output, const struct owner *owner, const struct peer_key *key,
                        const struct peer_value *value) {
    output_begin(output);
    report_put_head(output, owner);
    output_put_u64(output, key->inode);
    output_put_u64(output, value->sends);
    output_put_u64(output, value->receives);
    output_put_u64(output, value->bytes_sent);
    output_put_u64(output, value->bytes_received);
    output_put_u16(output, key->family);
    output_put_u16(output, (uint16_t)value->type);
    put_peer(output, key);
    output_end(output, FRAME_PEER_TOTALS);
}

static uint64_t lost_events(const struct counters *counters) {
    uint64_t lost = 0;
    for (int i = 0; i < RECORD_TYPES; i++) lost += counters->lost[i];
    return lost;
}

void report_heartbeat(struct output *output, const struct counters *counters, uint64_t time) {
    output_begin(output);
    output_put_u64(output, time);
    output_put_u64(output, lost_events(counters));
    output_put_u32(output, (uint32_t)counters->alive);
    output_end(output, FRAME_HEARTBEAT);
}

static void put_call(struct output *output, uint16_t abi, uint16_t number, const struct call_count *count) {
    output_put_u16(output, abi);
    output_put_u16(output, number == CALL_OUT_OF_RANGE ? UINT16_MAX : number);
    output_put_u32(output, 0);
    output_put_u64(output, count->calls);
    output_put_u64(output, count->failed);
    output_put_u64(output, count->eperm);
    output_put_u64(output, count->eacces);
}

void report_syscalls(struct output *output, const struct call_count *counts) {
    size_t entries = 0;
    for (uint16_t abi = 0; abi < ABIS; abi++) {
        for (uint16_t number = 0; number < CALLS_PER_ABI; number++) {
            const struct call_count *count = &counts[abi * CALLS_PER_ABI + number];
            if (count->calls == 0) continue;
            if (entries == 0) output_begin(output);
            put_call(output, abi, number, count);
            if (++entries < SYSCALL_ENTRIES_MAX) continue;
            output_end(output, FRAME_SYSCALLS);
            entries = 0;
        }
    }
    if (entries > 0) output_end(output, FRAME_SYSCALLS);
}

static void put_count(struct output *output, uint16_t kind, uint16_t code, uint64_t value) {
    if (value == 0) return;
    output_put_u16(output, kind);
    output_put_u16(output, code);
    output_put_u64(output, value);
}

void report_end(struct output *output, enum why why, const struct counters *counters) {
    output_begin(output);
    output_put_u32(output, why);
    output_put_u32(output, (uint32_t)counters->alive);
    output_put_u64(output, monotonic_ns());
    output_put_u64(output, counters->processes);
    output_put_u64(output, counters->threads);
    output_put_u64(output, counters->usage.cpu);
    output_put_u64(output, counters->usage.user);
    output_put_u64(output, counters->usage.system);
    output_put_u64(output, kib_of_pages(counters->max_rss_pages));
    output_put_u64(output, counters->usage.rchar);
    output_put_u64(output, counters->usage.wchar);
    output_put_u64(output, counters->usage.read_bytes);
    output_put_u64(output, counters->usage.write_bytes);
    for (uint16_t type = FIRST_RECORD; type < FRAME_SYSCALLS; type++) put_count(output, 1, type, output->sent[type]);
    for (uint16_t i = 0; i < RECORD_TYPES; i++) put_count(output, 2, (uint16_t)(FIRST_RECORD + i), counters->lost[i]);
    for (uint16_t gap = 1; gap < GAPS; gap++) put_count(output, 3, gap, counters->gaps[gap]);
    output_end(output, FRAME_END_OF_TREE);
}
