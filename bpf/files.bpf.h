/* Opens, bytes by open file, and calls that change names and attributes. All of it runs at sys_exit. */
#ifndef GLASSHOUSE_FILES_BPF_H
#define GLASSHOUSE_FILES_BPF_H

#define FILE_OPENED 1
#define FILE_INHERITED 2
#define FILE_CREATED 3
#define MODE_TYPE 0170000
#define MODE_REGULAR 0100000
#define MODE_SOCKET 0140000
#define MODE_FIFO 0010000
#define O_ACCMODE 3
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_PATH 010000000
#define FMODE_CREATED 0x100000

/* Operations of a change that are treated in their own way. */
#define CHANGE_RENAME 1
#define CHANGE_SYMLINK 6
#define CHANGE_CHROOT 13
#define CHANGE_CHDIR 14

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct file_key);
    __type(value, struct file_value);
} files SEC(".maps");

struct open_file {
    struct file *file;
    struct inode *inode;
    __u32 mode;
};

static __always_inline bool find_file(int descriptor, struct open_file *open) {
    open->file = file_of(current_task(), descriptor);
    if (open->file == NULL) return false;
    open->inode = READ(open->file, f_inode);
    open->mode = READ(open->inode, i_mode);
    return open->inode != NULL;
}

static __always_inline void make_key(struct file_key *key, const struct state *state, const struct open_file *open) {
    struct dentry *dentry = READ(open->file, f_path.dentry);
    key->birth = state->birth;
    key->pid = state->pid;
    key->dentry = (__u64)dentry;
    key->mount = (__u64)READ(open->file, f_path.mnt);
    key->inode = READ(open->inode, i_ino);
    key->name_hash = READ(dentry, d_name.hash_len);
    key->access = READ(open->file, f_flags) & (O_ACCMODE | O_PATH);
}

/* False when the record was lost. */
static __always_inline bool emit_file(const struct state *state, const struct file_key *key,
                                      const struct open_file *open, bool tracked, __u32 flags, __u32 how) {
    struct draft *draft = new_draft(RECORD_FILE, state);
    if (draft == NULL) return false;
    draft->record.file.key = *key;
    draft->record.file.tracked = tracked;
    draft->record.file.device = READ(open->inode, i_sb, s_dev);
    draft->record.file.mode = open->mode;
    draft->record.file.flags = flags;
    draft->record.file.how = how;
    add_file_path(0, open->file);
    return emit(draft);
}

/* The counts of an open file. When it is new it is reported; NULL when there is no room for it. */
static __always_inline struct file_value *new_file(const struct state *state, const struct file_key *key,
                                                   const struct open_file *open, __u32 flags, __u32 how) {
    struct file_value fresh = {.generation = counters.generation};
    long refused = bpf_map_update_elem(&files, key, &fresh, BPF_NOEXIST);
    if (refused != 0 && refused != -17 /* EEXIST: another thread was faster */) note_gap(GAP_FILE_TABLE_FULL);
    if (!emit_file(state, key, open, refused == 0 || refused == -17, flags, how) && refused == 0) {
        /* The observer does not know of it: nobody would ever take it out. */
        bpf_map_delete_elem(&files, key);
        return NULL;
    }
    return bpf_map_lookup_elem(&files, key);
}

/* A call of the open family has returned `descriptor`. */
__noinline int count_open(int descriptor, __u32 flags) {
    struct state *state = current_state();
    struct open_file open;
    struct file_key key;
    if (state == NULL) return 0;
    if (!find_file(descriptor, &open)) {
        note_gap(GAP_UNRESOLVED);
        return 0;
    }
    make_key(&key, state, &open);
    bool created = (READ(open.file, f_mode) & FMODE_CREATED) != 0;
    struct file_value *value = bpf_map_lookup_elem(&files, &key);
    __u32 generation = counters.generation;
    __u32 how = created ? FILE_CREATED : FILE_OPENED;
    if (value == NULL) {
        value = new_file(state, &key, &open, flags, how);
    } else if (created || (flags & O_TRUNC) || value->generation != generation) {
        value->generation = generation;
        emit_file(state, &key, &open, true, flags, how);
    }
    if (value != NULL) ADD(value->opens, 1);
    return 0;
}

/* The counts of the file behind a descriptor that is used; NULL for what is not counted by file. */
static __always_inline struct file_value *used_file(const struct state *state, const struct open_file *open) {
    struct file_key key;
    make_key(&key, state, open);
    struct file_value *value = bpf_map_lookup_elem(&files, &key);
    if (value != NULL || (open->mode & MODE_TYPE) != MODE_REGULAR) return value;
    return new_file(state, &key, open, READ(open->file, f_flags), FILE_INHERITED);
}

enum file_use { USE_READ, USE_WRITE, USE_MAP, USE_MAP_WRITABLE };

/* Counts the use of a struct file that is no socket. */
__noinline int count_file(__u64 file_address, __u64 bytes, __u32 use) {
    struct state *state = current_state();
    struct open_file open = {.file = (struct file *)file_address};
    open.inode = READ(open.file, f_inode);
    open.mode = READ(open.inode, i_mode);
    if (state == NULL || (open.mode & MODE_TYPE) == MODE_FIFO) return 0;
    struct file_value *value = used_file(state, &open);
    if (value == NULL) return 0;
    switch (use) {
    case USE_READ:
        ADD(value->reads, 1);
        ADD(value->bytes_read, bytes);
        break;
    case USE_WRITE:
        ADD(value->writes, 1);
        ADD(value->bytes_written, bytes);
        break;
    default:
        value->mapped |= use == USE_MAP_WRITABLE ? 3 : 1;
    }
    return 0;
}

__noinline int report_failed_open(int directory, __u64 name, __u32 flags, __s64 result) {
    struct state *state = current_state();
    struct draft *draft = state == NULL ? NULL : new_draft(RECORD_OPEN_FAILED, state);
    if (draft == NULL) return 0;
    draft->record.open_failed.error = (__u32)-result;
    draft->record.open_failed.flags = flags;
    write_operand(0, directory, name);
    emit(draft);
    return 0;
}

static __noinline int call_open(struct pt_regs *regs, long result) {
    if (is_restarted(result)) return 0;
    int directory = AT_FDCWD;
    const char *name = (const char *)regs->di;
    __u64 flags = regs->si;
    switch (regs->orig_ax) {
    case CALL_CREAT:
        flags = O_CREAT | O_TRUNC | 1;
        break;
    case CALL_OPENAT:
        directory = (int)regs->di;
        name = (const char *)regs->si;
        flags = regs->dx;
        break;
    case CALL_OPENAT2:
        directory = (int)regs->di;
        name = (const char *)regs->si;
        if (bpf_probe_read_user(&flags, sizeof(flags), (void *)regs->dx) != 0) flags = 0;
        break;
    case CALL_OPEN_BY_HANDLE_AT:
        directory = (int)regs->di;
        name = NULL;
        flags = regs->dx;
        break;
    }
    if (result >= 0) return count_open((int)result, (__u32)flags);
    return report_failed_open(directory, (__u64)name, (__u32)flags, result);
}

/* A call that changes something, whichever of its variants it was. */
struct change {
    __u32 operation;
    int directory;
    const char *name;
    int second_directory;
    const char *second;
    __u64 detail;
    __u32 has_second;
};

/* In a map, so that the verifier does not follow every variant on its own. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct change);
} changes SEC(".maps");

static __always_inline bool describe_change(struct pt_regs *regs, struct change *change) {
    __u64 a = regs->di, b = regs->si, c = regs->dx, d = regs->r10, e = regs->r8;
#define AT(op, dir, path, info) \
    change->operation = (op), change->directory = (dir), change->name = (const char *)(path), change->detail = (info)
#define AND(dir, path) \
    change->second_directory = (dir), change->second = (const char *)(path), change->has_second = 1
    change->has_second = 0;
    switch (regs->orig_ax) {
    case 82: AT(1, AT_FDCWD, a, 0); AND(AT_FDCWD, b); return true; /* rename */
    case 264: AT(1, (int)a, b, 0); AND((int)c, d); return true; /* renameat */
    case 316: AT(1, (int)a, b, e); AND((int)c, d); return true; /* renameat2 */
    case 87: AT(2, AT_FDCWD, a, 0); return true; /* unlink */
    case 263: AT((c & 0x200) ? 3 : 2, (int)a, b, 0); return true; /* unlinkat */
    case 84: AT(3, AT_FDCWD, a, 0); return true; /* rmdir */
    case 83: AT(4, AT_FDCWD, a, b); return true; /* mkdir */
    case 258: AT(4, (int)a, b, c); return true; /* mkdirat */
    case 86: AT(5, AT_FDCWD, a, 0); AND(AT_FDCWD, b); return true; /* link */
    case 265: AT(5, (int)a, b, e); AND((int)c, d); return true; /* linkat */
    case 88: AT(6, AT_FDCWD, b, 0); AND(AT_FDCWD, a); return true; /* symlink */
    case 266: AT(6, (int)b, c, 0); AND(AT_FDCWD, a); return true; /* symlinkat */
    case 90: AT(7, AT_FDCWD, a, b); return true; /* chmod */
    case 91: AT(7, (int)a, 0, b); return true; /* fchmod */
    case 268: AT(7, (int)a, b, c); return true; /* fchmodat */
    case 452: AT(7, (int)a, b, c); return true; /* fchmodat2 */
    case 92: AT(8, AT_FDCWD, a, (__u32)b | c << 32); return true; /* chown */
    case 93: AT(8, (int)a, 0, (__u32)b | c << 32); return true; /* fchown */
    case 94: AT(8, AT_FDCWD, a, (__u32)b | c << 32); return true; /* lchown */
    case 260: AT(8, (int)a, b, (__u32)c | d << 32); return true; /* fchownat */
    case 76: AT(9, AT_FDCWD, a, b); return true; /* truncate */
    case 77: AT(9, (int)a, 0, b); return true; /* ftruncate */
    case 133: AT(10, AT_FDCWD, a, (__u32)b | c << 32); return true; /* mknod */
    case 259: AT(10, (int)a, b, (__u32)c | d << 32); return true; /* mknodat */
    case 132: AT(11, AT_FDCWD, a, 0); return true; /* utime */
    case 235: AT(11, AT_FDCWD, a, 0); return true; /* utimes */
    case 261: AT(11, (int)a, b, 0); return true; /* futimesat */
    case 280: AT(11, (int)a, b, 0); return true; /* utimensat */
    case 188: case 189: case 197: case 198: AT(12, AT_FDCWD, a, 0); return true; /* (l)setxattr, (l)removexattr */
    case 190: case 199: AT(12, (int)a, 0, 0); return true; /* fsetxattr, fremovexattr */
    case 161: AT(13, AT_FDCWD, a, 0); return true; /* chroot */
    case 80: AT(14, AT_FDCWD, a, 0); return true; /* chdir */
    case 81: AT(14, (int)a, 0, 0); return true; /* fchdir */
    }
#undef AT
#undef AND
    return false;
}

static __always_inline void empty_operand(struct draft *draft, __u32 index) {
    begin_section(draft);
    end_section(draft, index, SECTION_PATH, 0);
    end_section(draft, index + 1, SECTION_TEXT, 0);
}

static __always_inline void add_second(struct draft *draft, const struct change *change) {
    if (!change->has_second) return;
    if (change->operation != CHANGE_SYMLINK) {
        add_operand(2, change->second_directory, change->second);
        return;
    }
    empty_operand(draft, 2);
    add_user_text(draft, 3, change->second);
}

static __noinline int call_change(struct state *state, struct pt_regs *regs, long result) {
    __u32 zero = 0;
    struct change *change = bpf_map_lookup_elem(&changes, &zero);
    if (change == NULL || is_restarted(result) || !describe_change(regs, change)) return 0;
    __u32 operation = change->operation;
    if ((operation == CHANGE_RENAME || operation == CHANGE_CHROOT) && result == 0) ADD(counters.generation, 1);
    if (operation == CHANGE_CHDIR && result != 0) return 0;
    struct draft *draft = new_draft(RECORD_CHANGE, state);
    if (draft == NULL) return 0;
    draft->record.change.operation = operation;
    draft->record.change.error = is_error(result) ? (__u32)-result : 0;
    draft->record.change.detail = change->detail;
    /* Where the process has gone, the directory itself says. */
    if (operation == CHANGE_CHDIR) add_operand(0, AT_FDCWD, NULL);
    else if (operation == CHANGE_CHROOT && result == 0) add_root(0);
    else add_operand(0, change->directory, change->name);
    add_second(draft, change);
    emit(draft);
    return 0;
}

#endif
