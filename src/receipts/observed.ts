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
  /** Null: the observer did not live to tell. */
  readonly totals: ObservedTotals | null;
}

/** Counted in the kernel, so right even where events were lost. Of threads that have ended. */
export interface ObservedTotals {
  readonly processes: number;
  readonly threads: number;
  /** By read(2), write(2) and their kin, whatever they went to. */
  readonly read_bytes: number;
  readonly written_bytes: number;
  /** Fetched from storage and sent to it. */
  readonly storage_read_bytes: number;
  readonly storage_written_bytes: number;
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
  /** Its own number in a pid namespace of its own; null: it has none but `pid`. */
  readonly namespace_pid: number | null;
  /** Microseconds after the start. */
  readonly started_us: number;
  /** Null: its end was not seen. */
  readonly ended_us: number | null;
  readonly exit_code: number | null;
  readonly signal: string | null;
  /** Threads that it ever had, the first one included; null: its end was not seen. */
  readonly threads: number | null;
  /** What it executed, one after the other. Without any it ran the image of its parent. */
  readonly images: readonly ObservedImage[];
  /** Null: its end was not seen. */
  readonly resources: ProcessResources | null;
}

export interface ObservedImage {
  readonly at_us: number;
  /** What the kernel loaded: for a script its interpreter. Null: could not be resolved. */
  readonly executable: Text | null;
  /** The script as it was named, whose `#!` line led to `executable`; null for a program. */
  readonly script: Text | null;
  readonly marks: readonly PathMark[];
  /** From the memory of the new image. */
  readonly argv: readonly Text[];
  /** False: there were more arguments, or longer ones. */
  readonly argv_complete: boolean;
  /** The directory that it started in; null: could not be resolved. */
  readonly cwd: Text | null;
  /** Real and effective user. */
  readonly uid: number;
  readonly euid: number;
  /** The file gave it rights: set-user-ID, set-group-ID, capabilities. */
  readonly privileged: boolean;
}

export interface ProcessResources {
  /** Null: not known. */
  readonly max_rss_kb: number | null;
  readonly user_us: number;
  readonly system_us: number;
  readonly read_bytes: number;
  readonly written_bytes: number;
  readonly storage_read_bytes: number;
  readonly storage_written_bytes: number;
}

/** What a reader of a path must know, in alphabetical order. */
export const PATH_MARKS = [
  /** The process had a root directory of its own, after chroot(2); the path is not seen from there. */
  'chroot',
  /** The file had no name any more. */
  'deleted',
  /** Below no mount that has a place: memory in the form of a file (memfd_create(2)), a lazily unmounted one. */
  'detached',
  /** In a mount namespace that is not that of the command. */
  'mount_namespace',
  /** Longer than what is taken; the path is a part of it. */
  'truncated',
  /** Could not be read, or not to its end. */
  'unresolved',
] as const;
export type PathMark = (typeof PATH_MARKS)[number];

/** Who did it, and how often. */
export interface Deeds {
  /** `id`s in process_tree, ascending; the first 1,000 that are listed there. */
  readonly processes: readonly number[];
  readonly count: number;
}

export interface FileAccess extends Deeds {
  readonly path: Text;
  readonly marks: readonly PathMark[];
  /** Opens. 0: it was open already when the process got it, and was used. */
  readonly count: number;
  /** Bytes that were read (in `reads`) or written (in `writes`) by calls; null: not all were counted by file. */
  readonly bytes: number | null;
  /** In `writes`: an open made it. */
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

/** What changes names or attributes without being an open, a deletion or a rename. */
export const FILE_CHANGES = [
  'chmod',
  'chown',
  'chroot',
  'link',
  'mkdir',
  'mknod',
  'set_times',
  'set_xattr',
  'symlink',
  'truncate',
] as const;
export type FileChangeKind = (typeof FILE_CHANGES)[number];

export interface FileChange extends Deeds {
  readonly operation: FileChangeKind;
  readonly path: Text;
  /** Of a symlink or link, what it leads to; else null. */
  readonly target: Text | null;
  /** Mode (`0755`), owner (`1000:1000`, -1: kept) or length that was asked for; else null. */
  readonly value: string | null;
  readonly marks: readonly PathMark[];
}

export const FILE_FAILURES = ['chdir', 'delete', 'open', 'rename', ...FILE_CHANGES] as const;
export type FileFailureKind = (typeof FILE_FAILURES)[number];

export interface FileFailure extends Deeds {
  readonly operation: FileFailureKind;
  readonly path: Text;
  readonly marks: readonly PathMark[];
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
  /** By calls, from and to regular files; null: not all were counted. */
  readonly bytes_read: number | null;
  readonly bytes_written: number | null;
}

export const NETWORK_OPERATIONS = ['accept', 'bind', 'connect', 'listen'] as const;
export type NetworkOperation = (typeof NETWORK_OPERATIONS)[number];

interface Endpoint {
  /** `inet`, `inet6`, `unix`, `netlink`, or `af_N`. */
  readonly family: string;
  /** `tcp`, `udp`, `stream`, `dgram`, `seqpacket`, `raw`, or `type_N`. */
  readonly protocol: string;
  /** An IP address as text, or the path of a Unix socket (`@name` when abstract); null: none was given. */
  readonly address: Text | null;
  readonly port: number | null;
}

export interface NetworkAttempt extends Endpoint, Deeds {
  readonly operation: NetworkOperation;
  /** Null: it succeeded. EINPROGRESS: its outcome was not seen. */
  readonly error: string | null;
}

/** Bytes that went between the command's sockets and one other end. */
export interface NetworkPeer extends Endpoint {
  readonly processes: readonly number[];
  /** Sending and receiving calls; 0 when their totals were not seen. */
  readonly count: number;
  /** Null: the totals of all or some were not seen. */
  readonly bytes_sent: number | null;
  readonly bytes_received: number | null;
}

export interface NetworkName extends Deeds {
  /** A name that was asked for in a DNS query in the clear. */
  readonly name: Text;
}

export interface NetworkRecord {
  readonly attempts: readonly NetworkAttempt[];
  readonly peers: readonly NetworkPeer[];
  readonly names: readonly NetworkName[];
  /** Through all sockets; null: not all were counted. */
  readonly bytes_sent: number | null;
  readonly bytes_received: number | null;
}

export interface DeniedCall {
  readonly name: string;
  readonly error: 'EACCES' | 'EPERM';
  readonly count: number;
}

/** A call that a reader wants to know of, whether it succeeded or not: ptrace, bpf, mount, setuid, ... */
export interface NotableCall extends Deeds {
  readonly name: string;
  /** How many of `count` succeeded. */
  readonly succeeded: number;
}

export interface SystemCallRecord {
  /** By name; `syscall_N` for a number without a name here, `i386_N` and `x32_N` for those of other tables. */
  readonly counts: Readonly<Record<string, number>>;
  readonly denied: readonly DeniedCall[];
  readonly notable: readonly NotableCall[];
}
