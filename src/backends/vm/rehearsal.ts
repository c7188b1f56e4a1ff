import { GlasshouseError } from '../../base/errors.js';
import { type GuestConnection } from '../../guest-link/connection.js';
import { nextMessage } from './guest.js';
import { describeRehearsal } from './guest-session.js';

/** Processes that interpreters of ours may need. */
export const REHEARSAL_PIDS = 64;

/**
 * Runs before the snapshot is taken: what it reads stays in the guest's memory, so that no clone waits for the disk
 * when it imports one of these.
 */
export const SNAPSHOT_REHEARSAL = `
import base64, bisect, collections, contextlib, copy, csv, dataclasses, datetime, decimal, enum, fractions
import functools, hashlib, heapq, io, itertools, json, math, operator, os, pathlib, random, re, statistics
import string, subprocess, sys, tempfile, textwrap, threading, time, traceback, typing, uuid
print(json.dumps({"sum": 2 + 2}))
try:
    raise ValueError("rehearsal")
except ValueError:
    traceback.print_exc()
`;

/** Runs in a clone that waits in a pool: an emulator has translated by then what every program needs. */
export const CLONE_REHEARSAL = 'print(2+2)\n';

/** What a rehearsal may leave: its own code. */
const REHEARSAL_OUTPUT = { maxFiles: 1, maxFileBytes: 1024 * 1024 } as const;

/**
 * Has the interpreter that has waited longest run `code`, and takes all that comes of it. Throws `guest_setup_failed`
 * when it fails, and what nextMessage() throws.
 */
export async function rehearseProgram(
  connection: GuestConnection,
  code: string,
  memoryMb: number,
): Promise<void> {
  connection.boundOutput(REHEARSAL_OUTPUT);
  await connection.sendAll(describeRehearsal(code, memoryMb, REHEARSAL_PIDS));
  for (;;) {
    const message = await nextMessage(connection);
    if (message.type === 'rehearsed') return;
    if (message.type === 'exited' && (message.exitCode !== 0 || message.signal !== 0))
      throw new GlasshouseError(
        'guest_setup_failed',
        'A program of ours failed when the guest rehearsed it.',
      );
  }
}
