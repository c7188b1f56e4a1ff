/* The path of an open file or a directory: from its own dentry and mount up to the top of the mount namespace. */
#ifndef GLASSHOUSE_PATH_BPF_H
#define GLASSHOUSE_PATH_BPF_H

/* One step is a component or the crossing of a mount; 4,096 bytes have 2,048 components at most. */
#ifndef EARLY_KERNEL
#define MAX_STEPS 2304
#else
#define MAX_STEPS 48
#endif

struct walk {
    struct dentry *dentry;
    struct mount *mount;
    __u8 flags;
    __u8 finished;
};

static __always_inline struct mount *mount_of(struct vfsmount *vfsmount) {
    return (struct mount *)((char *)vfsmount - bpf_core_field_offset(struct mount, mnt));
}

/* 1 ends the walk. */
static long walk_step(__u32 index, struct walk *walk) {
    struct draft *draft = blank_draft();
    struct dentry *dentry = walk->dentry;
    struct mount *mount = walk->mount;
    (void)index;
    if (draft == NULL) return 1;
    if (dentry == READ(mount, mnt.mnt_root)) {
        struct mount *parent = READ(mount, mnt_parent);
        if (parent == mount || parent == NULL) {
            /* A kernel-internal mount has an error for its namespace, an unmounted one has none. */
            unsigned long namespace = (unsigned long)READ(mount, mnt_ns);
            if (namespace == 0 || namespace >= -4095UL) walk->flags |= TEXT_DETACHED;
            walk->finished = 1;
            return 1;
        }
        walk->dentry = READ(mount, mnt_mountpoint);
        walk->mount = parent;
        return 0;
    }
    struct dentry *parent = READ(dentry, d_parent);
    if (parent == dentry || parent == NULL) {
        walk->flags |= TEXT_DETACHED;
        /* What has no place has a name of its own at most: memfd:NAME. */
        parent = NULL;
    }
    long length = bpf_probe_read_kernel_str(free_space(draft), 256, READ(dentry, d_name.name));
    if (length <= 0) {
        walk->flags |= TEXT_UNRESOLVED;
        return 1;
    }
    if (draft->used - draft->start + (__u32)length > PATH_LIMIT) {
        walk->flags |= TEXT_TRUNCATED;
        walk->finished = 1;
        return 1;
    }
    take_space(draft, (__u32)length);
    walk->dentry = parent;
    walk->finished = parent == NULL;
    return parent == NULL;
}

static __always_inline bool is_deleted(struct dentry *dentry) {
    return READ(dentry, d_hash.pprev) == NULL && READ(dentry, d_parent) != dentry;
}

static __always_inline __u8 place_flags(struct task_struct *task) {
    __u8 flags = 0;
    if ((__u64)READ(task, fs, root.dentry) != counters.root_dentry ||
        (__u64)READ(task, fs, root.mnt) != counters.root_mount)
        flags |= TEXT_CHROOT;
    if ((__u64)READ(task, nsproxy, mnt_ns) != counters.mount_namespace) flags = TEXT_NAMESPACE;
    return flags;
}

/* Adds the path as section `index`. */
static __noinline int add_path(int index, struct dentry *dentry, struct vfsmount *vfsmount) {
    struct draft *draft = blank_draft();
    struct walk walk = {.dentry = dentry, .mount = mount_of(vfsmount)};
    if (draft == NULL || index < 0 || index >= MAX_SECTIONS) return 0;
    begin_section(draft);
    if (dentry == NULL || vfsmount == NULL) {
        walk.flags = TEXT_UNRESOLVED;
    } else {
        if (is_deleted(dentry)) walk.flags |= TEXT_DELETED;
#ifndef EARLY_KERNEL
        bpf_loop(MAX_STEPS, walk_step, &walk, 0);
#else
        for (__u32 step = 0; step < MAX_STEPS; step++)
            if (walk_step(step, &walk)) break;
#endif
        if (!walk.finished && !(walk.flags & TEXT_UNRESOLVED)) walk.flags |= TEXT_TRUNCATED;
        walk.flags |= place_flags(current_task());
    }
    if (walk.flags & TEXT_TRUNCATED) note_gap(GAP_TRUNCATED);
    if (walk.flags & TEXT_UNRESOLVED) note_gap(GAP_UNRESOLVED);
    end_section(draft, index, SECTION_PATH, walk.flags);
    return 0;
}

static __always_inline struct file *file_of(struct task_struct *task, int descriptor) {
    struct fdtable *table = READ(task, files, fdt);
    struct file *file = NULL;
    if (descriptor < 0 || table == NULL || (__u32)descriptor >= READ(table, max_fds)) return NULL;
    bpf_probe_read_kernel(&file, sizeof(file), READ(table, fd) + descriptor);
    return file;
}

static __always_inline void add_file_path(int index, struct file *file) {
    add_path(index, READ(file, f_path.dentry), READ(file, f_path.mnt));
}

/* Adds the root directory of the process as an operand. */
static __always_inline void add_root(int index) {
    struct draft *draft = blank_draft();
    struct task_struct *task = current_task();
    if (draft == NULL) return;
    add_path(index, READ(task, fs, root.dentry), READ(task, fs, root.mnt));
    begin_section(draft);
    end_section(draft, index + 1, SECTION_TEXT, 0);
}

#define AT_FDCWD (-100)

/* Adds an operand (docs/observer-link.md) as sections `index` and `index` + 1. */
static __noinline int add_operand(int index, int directory, const char *name) {
    struct draft *draft = blank_draft();
    struct task_struct *task = current_task();
    struct dentry *dentry = NULL;
    struct vfsmount *mount = NULL;
    char first = 0;
    if (draft == NULL || index < 0 || index + 1 >= MAX_SECTIONS) return 0;
    if (name != NULL) bpf_probe_read_user(&first, 1, name);
    if (first == '/') {
        dentry = READ(task, fs, root.dentry);
        mount = READ(task, fs, root.mnt);
    } else if (directory == AT_FDCWD) {
        dentry = READ(task, fs, pwd.dentry);
        mount = READ(task, fs, pwd.mnt);
    } else {
        struct file *file = file_of(task, directory);
        if (file != NULL) {
            dentry = READ(file, f_path.dentry);
            mount = READ(file, f_path.mnt);
        }
    }
    add_path(index, dentry, mount);
    if (name == NULL) {
        begin_section(draft);
        end_section(draft, index + 1, SECTION_TEXT, 0);
        return 0;
    }
    add_user_text(draft, index + 1, name);
    return 0;
}

#endif
