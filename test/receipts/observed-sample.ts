/** A small, valid receipt of a command that was observed: a shell that runs a script, which fetches something. */
import { type Predicate } from '../../src/receipts/receipt.js';
import { samplePredicate } from './sample.js';

export function observedPredicate(overrides: Partial<Predicate> = {}): Predicate {
  const base = samplePredicate();
  return {
    ...base,
    provenance: 'host',
    request: {
      ...base.request,
      kind: 'command',
      code_sha256: null,
      argv: ['sh', '-c', './fetch'],
      limits: null,
    },
    resources: null,
    execution: {
      ...base.execution,
      backend: 'process',
      isolation: 'none',
      vmm_version: null,
      image: null,
    },
    process_tree: [
      {
        id: 1,
        parent: null,
        pid: 4_000,
        started_us: 0,
        ended_us: 123_000,
        exit_code: 0,
        signal: null,
        threads: 1,
        images: [
          {
            at_us: 40,
            executable: '/usr/bin/dash',
            script: null,
            marks: [],
            argv: ['sh', '-c', './fetch'],
            argv_complete: true,
            cwd: '/home/me',
          },
        ],
        resources: { max_rss_kb: 1_800, user_us: 700, system_us: 900, read_bytes: 832, written_bytes: 0 },
      },
      {
        id: 2,
        parent: 1,
        pid: 4_001,
        started_us: 2_000,
        ended_us: 120_000,
        exit_code: null,
        signal: 'SIGTERM',
        threads: 3,
        images: [
          {
            at_us: 2_300,
            executable: '/usr/bin/python3.11',
            script: { base64: 'L2hvbWUvbWUv/w==' },
            marks: ['deleted', 'truncated'],
            argv: ['/usr/bin/python3', { base64: '/w==' }],
            argv_complete: false,
            cwd: null,
          },
        ],
        resources: null,
      },
    ],
    filesystem: {
      reads: [
        { path: '/etc/hosts', marks: [], processes: [2], count: 2, bytes: 180, created: false },
        {
          path: { base64: 'L3RtcC//' },
          marks: ['chroot'],
          processes: [1, 2],
          count: 2,
          bytes: null,
          created: false,
        },
      ],
      writes: [{ path: '/tmp/page', marks: [], processes: [2], count: 1, bytes: 4_096, created: true }],
      deletes: [{ path: '/tmp/page', marks: [], processes: [2], count: 1, directory: false }],
      renames: [
        {
          from: '/tmp/a',
          to: '/tmp/b',
          marks: ['mount_namespace'],
          processes: [2],
          count: 1,
          exchange: false,
        },
      ],
      changes: [
        { operation: 'symlink', path: '/tmp/link', target: '../x', marks: [], processes: [2], count: 1 },
        { operation: 'mkdir', path: '/tmp/d', target: null, marks: ['unresolved'], processes: [], count: 5 },
      ],
      failures: [{ operation: 'open', path: 'missing', error: 'ENOENT', processes: [1], count: 9 }],
      bytes_read: 1_012,
      bytes_written: null,
    },
    network: {
      attempts: [
        {
          operation: 'connect',
          family: 'inet',
          protocol: 'tcp',
          address: '127.0.0.1',
          port: 80,
          error: 'ECONNREFUSED',
          processes: [2],
          count: 1,
          bytes_sent: 0,
          bytes_received: null,
        },
        {
          operation: 'bind',
          family: 'unix',
          protocol: 'stream',
          address: '@name',
          port: null,
          error: null,
          processes: [2],
          count: 1,
          bytes_sent: null,
          bytes_received: 0,
        },
      ],
      names: [{ name: 'example.org', processes: [2], count: 1 }],
      bytes_sent: 31,
      bytes_received: null,
    },
    syscalls: {
      counts: { read: 12, openat: 4, syscall_999: 1 },
      denied: [{ name: 'mount', error: 'EPERM', processes: [2], count: 1 }],
      notable: [{ name: 'mount', succeeded: 0, processes: [2], count: 1 }],
    },
    observation: {
      level: 'host',
      reason: 'the observer was stopped',
      complete: false,
      blind_from_us: 121_000,
      events: 40,
      dropped: { ring_buffer: 0, strings: 2 },
      omitted: { files: 3 },
      hooks: ['tp_btf/sys_exit'],
      blind_spots: ['io_uring'],
    },
    ...overrides,
  };
}
