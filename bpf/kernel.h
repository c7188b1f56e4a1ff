/*
 * The kernel's types, cut down to the fields that the programs read. CO-RE finds each field in the running kernel by
 * its name, so neither the order nor what lies between them matters, and no build machine's kernel is needed.
 */
#ifndef GLASSHOUSE_KERNEL_H
#define GLASSHOUSE_KERNEL_H

#include <linux/bpf.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
    unsigned long r10, r9, r8, dx, si, di, orig_ax;
};

struct thread_info {
    __u32 status;
};

struct qstr {
    union {
        __u64 hash_len;
    };
    const unsigned char *name;
};

struct hlist_bl_node {
    void **pprev;
};

struct dentry;
struct inode;

struct dentry_operations {
    void *d_dname;
};

struct dentry {
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
    const struct dentry_operations *d_op;
};

struct super_block {
    __u32 s_dev;
};

struct inode {
    __u16 i_mode;
    unsigned long i_ino;
    struct super_block *i_sb;
};

struct vfsmount {
    struct dentry *mnt_root;
};

struct mnt_namespace;

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
    struct mnt_namespace *mnt_ns;
};

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};

struct file {
    unsigned int f_flags;
    unsigned int f_mode;
    struct inode *f_inode;
    struct path f_path;
    void *private_data;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

struct fs_struct {
    struct path root;
    struct path pwd;
};

struct pid_namespace;

struct upid {
    int nr;
    struct pid_namespace *ns;
};

struct pid {
    unsigned int level;
    struct upid numbers[1];
};

struct nsproxy {
    struct mnt_namespace *mnt_ns;
};

struct task_io_accounting {
    __u64 rchar, wchar, read_bytes, write_bytes;
};

struct sched_entity {
    __u64 sum_exec_runtime;
};

struct mm_struct {
    unsigned long arg_start, arg_end;
    struct file *exe_file;
};

typedef struct {
    int counter;
} atomic_t;

struct signal_struct {
    atomic_t live;
    unsigned long maxrss;
    int group_exit_code;
    unsigned int flags;
};

typedef struct {
    __u32 val;
} kuid_t;

struct cred {
    kuid_t uid;
    kuid_t euid;
};

struct task_struct {
    struct thread_info thread_info;
    int pid;
    int tgid;
    int exit_code;
    __u64 start_boottime;
    __u64 utime, stime;
    struct sched_entity se;
    struct task_io_accounting ioac;
    struct task_struct *group_leader;
    struct task_struct *real_parent;
    struct mm_struct *mm;
    struct files_struct *files;
    struct fs_struct *fs;
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    struct pid *thread_pid;
    const struct cred *cred;
};

struct linux_binprm {
    unsigned int secureexec : 1;
    const char *filename;
    const char *interp;
};

struct in6_addr {
    union {
        __u8 u6_addr8[16];
    } in6_u;
};

struct sock_common {
    __u32 skc_daddr;
    __u32 skc_rcv_saddr;
    __u16 skc_dport;
    __u16 skc_num;
    __u16 skc_family;
    volatile unsigned char skc_state;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
    struct sock_common __sk_common;
    __u16 sk_protocol;
    __u16 sk_type;
    int sk_err;
};

struct socket {
    short type;
    struct sock *sk;
};

struct sockaddr_un {
    __u16 sun_family;
};

struct unix_address {
    int len;
    struct sockaddr_un name[0];
};

struct unix_sock {
    struct unix_address *addr;
    struct sock *peer;
};

#pragma clang attribute pop

#endif
