#include "records.h"

#include <bpf/bpf.h>

#include "report.h"

void records_init(struct records *records, struct output *output, int files, int peers, bool gathers) {
    records->files = files;
    records->peers = peers;
    records->gathers = gathers;
    records->output = output;
    gather_init(&records->gather);
}

/* --- the end of a process --- */

static bool take_out(int map, const void *key, void *value) {
    if (bpf_map_lookup_elem(map, key, value) != 0) return false;
    bpf_map_delete_elem(map, key);
    return true;
}

static void report_files(struct records *records, struct process *process, const struct owner *owner) {
    for (struct tracked_file *file = process->files; file != NULL; file = file->sibling) {
        struct file_value value;
        bool is_there = take_out(records->files, &file->key, &value);
        gather_totals(&records->gather, records->output, process, owner, file, is_there ? &value : NULL);
    }
}

static void report_peers(struct records *records, const struct process *process, const struct owner *owner) {
    for (const struct tracked_peer *peer = process->peers; peer != NULL; peer = peer->sibling) {
        struct peer_value value;
        if (take_out(records->peers, &peer->key, &value))
            report_peer_totals(records->output, owner, &peer->key, &value);
    }
}

static void close_process(struct records *records, struct process *process, const struct owner *owner) {
    report_files(records, process, owner);
    report_peers(records, process, owner);
    processes_remove(&records->processes, process);
}

/* Of two threads that end at once both may report the end of their process: the second is not repeated. */
static void take_end(struct records *records, const struct record *record) {
    struct process *process = processes_find(&records->processes, record->birth, record->pid);
    struct owner owner = owner_of(record);
    if (process == NULL) return;
    close_process(records, process, &owner);
    if (records->gathers) gather_end(&records->gather, record);
    else report_record(records->output, record, 0);
}

/* --- everything else --- */

static void take_file(struct records *records, const struct record *record) {
    struct tracked_file *file =
        record->file.tracked ? processes_add_file(&records->processes, &record->file.key) : NULL;
    if (file != NULL && records->gathers) gather_file(&records->gather, record, file);
    else report_record(records->output, record, file == NULL ? 0 : file->number);
}

static void take_failed_open(struct records *records, const struct record *record, struct process *process) {
    if (process != NULL && records->gathers) gather_failed_open(&records->gather, record, process);
    else report_record(records->output, record, 0);
}

int records_take(void *context, void *data, size_t size) {
    struct records *records = context;
    const struct record *record = data;
    if (!record_is_whole(record, size)) return 0;
    if (!gather_has_room(&records->gather)) gather_flush(&records->gather, records->output);
    if (record->type == RECORD_PROCESS_END) {
        take_end(records, record);
        return 0;
    }
    struct process *process = processes_get(&records->processes, record->birth, record->pid);
    if (record->type == RECORD_FILE) {
        take_file(records, record);
    } else if (record->type == RECORD_OPEN_FAILED) {
        take_failed_open(records, record, process);
    } else {
        if (record->type == RECORD_SOCKET && record->socket.tracked)
            processes_add_peer(&records->processes, &record->socket.key);
        report_record(records->output, record, 0);
    }
    return 0;
}

void records_flush(struct records *records) {
    if (records->gathers) gather_flush(&records->gather, records->output);
    output_flush(records->output);
}

void records_close_all(struct records *records) {
    struct process *process;
    while ((process = processes_any(&records->processes)) != NULL) {
        struct owner owner = {monotonic_ns(), process->birth, process->pid, process->pid};
        close_process(records, process, &owner);
    }
}

void records_free(struct records *records) {
    struct process *process;
    while ((process = processes_any(&records->processes)) != NULL) processes_remove(&records->processes, process);
}
