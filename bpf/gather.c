#include "gather.h"

#include <string.h>

#include "operand.h"

#define FILE_INHERITED 2
#define FILE_CREATED 3
#define ACCESS_MODE 3
#define WRITE_ONLY 1
#define READ_ONLY 0
#define MODE_TYPE 0170000
#define MODE_REGULAR 0100000

/* A directory and a name, and then some. */
#define LONGEST_TEXT (DATA_LIMIT + PATH_LIMIT + MAX_SECTIONS)

void gather_init(struct gather *gather) {
    memset(gather->buckets, 0, sizeof(gather->buckets));
    gather->batch++;
    gather->events = gather->text_bytes = gather->doers = gather->ends = 0;
    gather->texts = gather->uses = gather->sums = gather->shares = 1;
}

bool gather_has_room(const struct gather *gather) {
    /* Each use becomes a sum with a share at most. */
    return gather->texts < GATHER_TEXTS && gather->text_bytes + LONGEST_TEXT <= GATHER_TEXT_BYTES &&
           gather->uses < GATHER_USES && gather->sums + gather->uses < GATHER_SUMS &&
           gather->shares + gather->uses < GATHER_SHARES && gather->doers < GATHER_DOERS && gather->ends < GATHER_ENDS;
}

/* --- paths --- */

static uint64_t hash_of(const uint8_t *bytes, size_t length, uint16_t flags) {
    uint64_t hash = flags + (uint64_t)length * 0x9e3779b97f4a7c15u, word;
    for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    for (; length > 0; bytes++, length--) hash = (hash ^ *bytes) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* The text that was written behind the others, which is taken back when it is known already. */
static uint32_t intern(struct gather *gather, size_t length, uint16_t flags) {
    const uint8_t *bytes = gather->bytes + gather->text_bytes;
    uint64_t hash = hash_of(bytes, length, flags);
    uint32_t *bucket = &gather->buckets[hash % GATHER_BUCKETS];
    for (uint32_t at = *bucket; at != 0; at = gather->text[at].next) {
        const struct gathered_text *text = &gather->text[at];
        if (text->hash == hash && text->length == length && text->flags == flags &&
            memcmp(gather->bytes + text->at, bytes, length) == 0)
            return at;
    }
    gather->text[gather->texts] = (struct gathered_text){
        .hash = hash, .at = gather->text_bytes, .length = (uint16_t)length, .flags = flags, .next = *bucket};
    gather->text_bytes += (uint32_t)length;
    *bucket = gather->texts;
    return gather->texts++;
}

/* --- sums --- */

static struct gathered_sum *sum_of(struct gather *gather, uint32_t text, uint16_t type, uint16_t error, uint32_t sides) {
    for (uint32_t at = gather->text[text].sums; at != 0; at = gather->sum[at].next) {
        struct gathered_sum *sum = &gather->sum[at];
        if (sum->type == type && sum->error == error && sum->sides == sides) return sum;
    }
    struct gathered_sum *sum = &gather->sum[gather->sums];
    *sum = (struct gathered_sum){
        .type = type, .error = error, .sides = sides, .text = text, .next = gather->text[text].sums};
    gather->text[text].sums = gather->sums++;
    return sum;
}

/* Where the process stands in this batch's list of doers. */
static uint32_t place_of(struct gather *gather, struct process *process, const struct owner *owner) {
    if (process->batch != gather->batch) {
        process->batch = gather->batch;
        process->place = gather->doers;
        gather->doer[gather->doers++] = *owner;
    }
    return process->place;
}

static void add_share(struct gather *gather, struct gathered_sum *sum, uint32_t place, uint64_t times) {
    struct gathered_share *last = &gather->share[sum->last_share];
    uint32_t bounded = times > UINT32_MAX ? UINT32_MAX : (uint32_t)times;
    if (sum->last_share != 0 && last->place == place && last->times <= UINT32_MAX - bounded) {
        last->times += bounded;
        return;
    }
    gather->share[gather->shares] = (struct gathered_share){.place = place, .times = bounded};
    if (sum->last_share == 0) sum->first_share = gather->shares;
    else last->next = gather->shares;
    sum->last_share = gather->shares++;
}

/* --- files --- */

void gather_file(struct gather *gather, const struct record *record, struct tracked_file *file) {
    size_t length = path_of_section(gather->bytes + gather->text_bytes, record, 0);
    gather->use[gather->uses] = (struct gathered_use){
        .file = file,
        .owner = owner_of(record),
        .used = used_file_of(record, file->number),
        .text = intern(gather, length, record->sections[0].flags),
        .earlier = file->batch == gather->batch ? file->last_use : 0,
    };
    file->batch = gather->batch;
    file->last_use = gather->uses++;
}

static uint32_t sides_of(const struct used_file *used) {
    uint32_t mode = used->flags & ACCESS_MODE, sides = 0;
    bool created = used->how == FILE_CREATED;
    if (mode != WRITE_ONLY) sides |= SUM_READ;
    if (mode != READ_ONLY || created) sides |= SUM_WRITTEN;
    if (created) sides |= SUM_CREATED;
    if ((used->mode & MODE_TYPE) == MODE_REGULAR) sides |= SUM_REGULAR;
    return sides;
}

/* Pipes, sockets and event descriptors have no path and are no files to a reader. */
static bool is_plumbing(const struct gather *gather, const struct gathered_use *use) {
    return (gather->text[use->text].flags & TEXT_DETACHED) && (use->used.mode & MODE_TYPE) != MODE_REGULAR;
}

/* `last` is the use that the totals belong to. */
static void add_up(struct gather *gather, uint32_t place, uint32_t last, const struct file_value *value) {
    uint64_t opens = 0;
    for (uint32_t at = last; at != 0; at = gather->use[at].earlier) opens += gather->use[at].used.how != FILE_INHERITED;
    uint64_t further = value->opens > opens ? value->opens - opens : 0;
    gather->events++;
    for (uint32_t at = last; at != 0; at = gather->use[at].earlier) {
        struct gathered_use *use = &gather->use[at];
        use->file = NULL;
        gather->events++;
        if (is_plumbing(gather, use)) continue;
        struct gathered_sum *sum = sum_of(gather, use->text, FRAME_FILE_SUM, 0, sides_of(&use->used));
        add_share(gather, sum, place, (use->used.how != FILE_INHERITED) + (at == last ? further : 0));
        if (at != last) continue;
        sum->bytes_read += value->bytes_read;
        sum->bytes_written += value->bytes_written;
    }
}

static void report_use(const struct gather *gather, struct output *output, struct gathered_use *use) {
    const struct gathered_text *text = &gather->text[use->text];
    report_used_file(output, &use->owner, &use->used, gather->bytes + text->at, text->length, text->flags);
    use->file->is_known = true;
    use->file = NULL;
}

/* In the order in which they came. */
static void report_uses(struct gather *gather, struct output *output, const struct tracked_file *file, uint32_t last) {
    uint32_t first = last;
    while (gather->use[first].earlier != 0) first = gather->use[first].earlier;
    for (uint32_t at = first; at <= last; at++)
        if (gather->use[at].file == file) report_use(gather, output, &gather->use[at]);
}

void gather_totals(struct gather *gather, struct output *output, struct process *process, const struct owner *owner,
                   struct tracked_file *file, const struct file_value *value) {
    uint32_t last = file->batch == gather->batch ? file->last_use : 0;
    if (value != NULL && last != 0 && !file->is_known) {
        add_up(gather, place_of(gather, process, owner), last, value);
        return;
    }
    if (last != 0) report_uses(gather, output, file, last);
    if (value != NULL) report_file_totals(output, owner, file->number, value);
}

void gather_failed_open(struct gather *gather, const struct record *record, struct process *process) {
    struct owner owner = owner_of(record);
    uint8_t flags = record->sections[0].flags | record->sections[1].flags;
    size_t length = resolve_operand(gather->bytes + gather->text_bytes, record, 0);
    uint32_t text = intern(gather, length, flags);
    struct gathered_sum *sum =
        sum_of(gather, text, FRAME_OPEN_FAILED_SUM, (uint16_t)record->open_failed.error, 0);
    add_share(gather, sum, place_of(gather, process, &owner), 1);
    gather->events++;
}

void gather_end(struct gather *gather, const struct record *record) {
    gather->end[gather->ends++] = *record;
}

/* --- frames --- */

static void report_living(struct gather *gather, struct output *output) {
    for (uint32_t at = 1; at < gather->uses; at++)
        if (gather->use[at].file != NULL) report_use(gather, output, &gather->use[at]);
}

static void report_doers(const struct gather *gather, struct output *output) {
    if (gather->doers == 0 && gather->events == 0) return;
    output_begin(output);
    output_put_u32(output, gather->events);
    output_put_u32(output, 0);
    for (uint32_t at = 0; at < gather->doers; at++) report_put_head(output, &gather->doer[at]);
    output_end(output, FRAME_DOERS);
}

/* The frame of a sum up to its shares; `whole` is false when it goes on from an earlier frame. */
static void begin_sum(const struct gather *gather, struct output *output, const struct gathered_sum *sum, bool whole) {
    const struct gathered_text *text = &gather->text[sum->text];
    output_begin(output);
    if (sum->type == FRAME_FILE_SUM) {
        output_put_u32(output, sum->sides);
        output_put_u64(output, whole ? sum->bytes_read : 0);
        output_put_u64(output, whole ? sum->bytes_written : 0);
    } else {
        output_put_u32(output, sum->error);
    }
    output_put_text(output, gather->bytes + text->at, text->length, text->flags);
}

static void report_sum(const struct gather *gather, struct output *output, const struct gathered_sum *sum) {
    size_t shares = 0;
    begin_sum(gather, output, sum, true);
    for (uint32_t at = sum->first_share; at != 0; at = gather->share[at].next) {
        if (shares == SHARES_MAX) {
            output_end(output, sum->type);
            begin_sum(gather, output, sum, false);
            shares = 0;
        }
        output_put_u32(output, gather->share[at].place);
        output_put_u32(output, gather->share[at].times);
        shares++;
    }
    output_end(output, sum->type);
}

void gather_flush(struct gather *gather, struct output *output) {
    report_living(gather, output);
    report_doers(gather, output);
    for (uint32_t at = 1; at < gather->sums; at++) report_sum(gather, output, &gather->sum[at]);
    for (uint32_t at = 0; at < gather->ends; at++) report_record(output, &gather->end[at], 0);
    gather_init(gather);
}
