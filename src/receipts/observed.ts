/** The parts of a receipt that an observer fills: what the kernel saw of one execution. */
import { type Text } from './text.js';

/** Nobody watched. */
export interface NotObserved {
  readonly level: 'none';
  readonly reason: string;
  readonly events: 0;
  readonly dropped: Readonly<Record<string, number>>;
}

/** The host's kernel was asked, from the command's first instruction on. */
export interface HostObservation {
  readonly level: 'host';
  /** Why it is not complete, in words; null when nothing is known to be missing. */
  readonly reason: string | null;
  /** True: nothing was dropped, nothing was left out here, and the observer saw the last process end. */
  readonly complete: boolean;
  /** Microseconds after the start from when on nothing was seen, because the observer was gone; null: it never was. */
  readonly blind_from_us: number | null;
  /** Events that the kernel handed over. */
  readonly events: number;
  /** What the kernel saw and could not hand over, or not whole, by category. */
  readonly dropped: Readonly<Record<string, number>>;
  /** What was handed over and left out here, because a receipt is bounded, by category. */
  readonly omitted: Readonly<Record<string, number>>;
  /** Hooks of the kernel that were attached, for example `tp_btf/sys_exit`. */
  readonly hooks: readonly string[];
  /** Ways past the observer that the command took, for example `io_uring`. */
  readonly blind_spots: readonly string[];
}

export type Observation = NotObserved | HostObservation;

/** One process, threads folded in. */
export interface ObservedProcess {
  /** From 1, in order of birth. A pid can be used again; this number cannot. */
  readonly id: number;
  /** Null for the command itself, and for one whose parent is not listed. */
  readonly parent: number | null;
  /** As the host numbers it. */
  readonly pid: number;
  /** Microseconds after the start. */
  readonly started_us: number;
  /** Null: its end was not seen. */
  readonly ended_us: number | null;
  readonly exit_code: number | null;
  readonly signal: string | null;
  /** Threads that it ever had, the first one included. */
  readonly threads: number;
  /** What it executed, one after the other. Without any it ran the image of its parent. */
  readonly images: readonly ObservedImage[];
  /** Null: its end was not seen. */
  readonly resources: ProcessResources | null;
}

export interface ObservedImage {
  readonly at_us: number;
  /** What the kernel loaded: for a script its interpreter. Null: could not be resolved. */
  readonly executable: Text | null;
  /** The file that was named, where it is a script; null for a program. */
  readonly script: Text | null;
  readonly marks: readonly PathMark[];
  /** From the memory of the new image. */
  readonly argv: readonly Text[];
  /** False: there were more arguments, or longer ones. */
  readonly argv_complete: boolean;
  /** The directory that it started in; null: could not be resolved. */
  readonly cwd: Text | null;
}

export interface ProcessResources {
  readonly max_rss_kb: number;
  readonly user_us: number;
  readonly system_us: number;
  /** By read(2) and its kin, and by write(2) and its kin, whatever they went to. */
  readonly read_bytes: number;
  readonly written_bytes: number;
}

/** What a reader of a path must know, in alphabetical order. */
export const PATH_MARKS = [
  /** Seen from the root of another file system view: after chroot(2). */
  'chroot',
  /** The file had no name any more. */
  'deleted',
  /** Memory that has the form of a file (memfd_create(2)). */
  'memfd',
  /** In a mount namespace that is not that of the command. */
  'mount_namespace',
  /** Longer than what is taken; the path is its beginning. */
  'truncated',
  /** As the program wrote it: the kernel's own path was not to be had. */
  'unresolved',
] as const;
export type PathMark = (typeof PATH_MARKS)[number];

/** Who did it, and how often. */
interface Deeds {
  /** `id`s in process_tree, ascending; the first 1,000 that are listed there. */
  readonly processes: readonly number[];
  readonly count: number;
}

export interface FileAccess extends Deeds {
  readonly path: Text;
  readonly marks: readonly PathMark[];
  /** Bytes that were read (in `reads`) or written (in `writes`) through descriptors; null: not counted by file. */
  readonly bytes: number | null;
  /** Among `writes`: it did not exist before. False where that is not known. */
  readonly created: boolean;
}

export interface FileDeletion extends Deeds {
  readonly path: Text;
  readonly marks: readonly PathMark[];
  readonly directory: boolean;
}

export interface FileRename extends Deeds {
  readonly from: Text;
  readonly to: Text;
  readonly marks: readonly PathMark[];
  /** RENAME_EXCHANGE: both names exist before and after. */
  readonly exchange: boolean;
}

/** What changes a file system without being an open, a deletion or a rename. */
export const FILE_CHANGES = [
  'chmod',
  'chown',
  'chroot',
  'link',
  'mkdir',
  'mknod',
  'mount',
  'pivot_root',
  'setxattr',
  'symlink',
  'truncate',
  'umount',
  'utimes',
] as const;
export type FileChangeKind = (typeof FILE_CHANGES)[number];

export interface FileChange extends Deeds {
  readonly operation: FileChangeKind;
  readonly path: Text;
  /** Of a link, what it leads to; of a change of mode or owner null. */
  readonly target: Text | null;
  readonly marks: readonly PathMark[];
}

export interface FileFailure extends Deeds {
  /** `open`, `exec`, `delete`, `rename`, or one of FILE_CHANGES. */
  readonly operation: string;
  /** As the program wrote it: there is no file that could tell its name. */
  readonly path: Text;
  /** `ENOENT` and its kin. */
  readonly error: string;
}

export interface FileSystemRecord {
  readonly reads: readonly FileAccess[];
  readonly writes: readonly FileAccess[];
  readonly deletes: readonly FileDeletion[];
  readonly renames: readonly FileRename[];
  readonly changes: readonly FileChange[];
  readonly failures: readonly FileFailure[];
  /** By read(2) and write(2) and their kin on regular files, all together; null: not counted. */
  readonly bytes_read: number | null;
  readonly bytes_written: number | null;
}

export const NETWORK_OPERATIONS = ['accept', 'bind', 'connect', 'listen', 'send'] as const;
export type NetworkOperation = (typeof NETWORK_OPERATIONS)[number];

export interface NetworkAttempt extends Deeds {
  readonly operation: NetworkOperation;
  /** `inet`, `inet6`, `unix`, `netlink`, or `af_N`. */
  readonly family: string;
  /** `tcp`, `udp`, `stream`, `dgram`, `seqpacket`, `raw`, or `unknown`. */
  readonly protocol: string;
  /** An IP address as text, or the path of a Unix socket (`@name` when abstract); null: none was given. */
  readonly address: Text | null;
  readonly port: number | null;
  /** Null: it succeeded, or (EINPROGRESS) was under way. Else `ECONNREFUSED` and its kin. */
  readonly error: string | null;
  /** Through these sockets, each way; null: not counted by socket. */
  readonly bytes_sent: number | null;
  readonly bytes_received: number | null;
}

export interface NetworkName extends Deeds {
  /** A name that was asked for in a DNS query in the clear. */
  readonly name: Text;
}

export interface NetworkRecord {
  readonly attempts: readonly NetworkAttempt[];
  readonly names: readonly NetworkName[];
  /** Through all sockets; null: not counted. */
  readonly bytes_sent: number | null;
  readonly bytes_received: number | null;
}

export interface DeniedCall extends Deeds {
  readonly name: string;
  readonly error: 'EACCES' | 'EPERM';
}

/** A call that a reader wants to know of, whether it succeeded or not: ptrace, bpf, mount, setuid, ... */
export interface NotableCall extends Deeds {
  readonly name: string;
  /** How many of `count` succeeded. */
  readonly succeeded: number;
}

export interface SystemCallRecord {
  /** By name; `syscall_N` for a number without a name here, `compat_N` for one of the 32-bit table. */
  readonly counts: Readonly<Record<string, number>>;
  readonly denied: readonly DeniedCall[];
  readonly notable: readonly NotableCall[];
}
