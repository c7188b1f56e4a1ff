import { errorName } from './number-names.js';
import { type Failed } from './observer-message.js';

/** By reason: docs/observer-link.md, "66 failed". */
const WORDS: Readonly<Record<string, string>> = {
  no_privilege: 'it needs root, or the capabilities CAP_BPF and CAP_PERFMON',
  no_btf: 'this kernel does not describe its types (/sys/kernel/btf/vmlinux is missing)',
  lockdown: 'kernel lockdown forbids it to read kernel memory',
  unsupported_kernel: 'this kernel is older than 5.8, or lacks what cannot be replaced',
  unsupported_machine: 'it works on x86-64 only',
  load_refused: 'the kernel refused its programs',
  attach_refused: 'the kernel refused to attach its programs',
  out_of_memory: 'its buffers do not fit into the memory that it may use',
  no_such_process: 'the command ended before it ran',
  not_allowed: 'it may not follow that process',
};

/** Why the observer cannot observe, in one line. What it adds for people comes last. */
export function describeFailure({ reason, errno, detail }: Failed): string {
  const words = WORDS[reason] ?? `it failed (${reason})`;
  const error = errno === 0 ? '' : ` [${errorName(errno)}]`;
  const isExplained = reason === 'no_privilege' || reason === 'no_btf';
  const rest =
    isExplained || detail.trim() === '' ? '' : `: ${detail.trim().replaceAll(/\s+/g, ' ').slice(0, 300)}`;
  return `${words}${error}${rest}`;
}
