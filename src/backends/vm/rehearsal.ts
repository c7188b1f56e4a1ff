import { GlasshouseError } from '../../base/errors.js';
import { type GuestConnection } from '../../guest-link/connection.js';
import { nextMessage } from './guest.js';
import { describeRehearsal, REHEARSAL_FILES } from './guest-session.js';

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

/** Runs in a clone that waits in a pool. */
export const CLONE_REHEARSALS: readonly string[] = ['print(2+2)\n'];

/**
 * Run in a template, which spares all of its copies what an emulator has to translate for them: a program that does
 * what many programs do, and small ones, because nothing goes twice exactly alike. None ends with a line feed: a parser
 * goes other ways then.
 */
export const TEMPLATE_REHEARSALS: readonly string[] = [
  String.raw`
import collections, json, math, re, sys
from dataclasses import dataclass

@dataclass
class Point:
    x: int
    y: float = 1.5

def triangle(n):
    return n if n < 2 else n + triangle(n - 1)

words = [word.upper() for word in "to be or not to be".split() if len(word) > 1]
counts = collections.Counter(words)
table = {word: count for word, count in sorted(counts.items(), key=lambda item: -item[1])}
with open("note.txt", "w") as note:
    note.write(json.dumps(table))
with open("note.txt") as note:
    print(json.loads(note.read()))
try:
    [][1]
except IndexError as error:
    print(f"{error!r:>20} {math.sqrt(2):.3f}", file=sys.stderr)
print(triangle(10), Point(1), re.sub("b(.)", r"<\1>", "abc"), 7 // 2, 7 / 2, 2 ** 70, "%d" % 5)
i = 0
while i < 2000:
    i += 1
print("end", end="")`,
  'print(2+2)',
  'x = 3\nfor i in range(3):\n    x += i\nprint(x)',
  'print("hello")',
];

/** Interpreters that wait in a snapshot: what its template and a copy of it rehearse with, and one to run. */
export const HELD_INTERPRETERS = TEMPLATE_REHEARSALS.length + CLONE_REHEARSALS.length + 1;

/** What a rehearsal may leave. */
const REHEARSAL_OUTPUT = { maxFiles: REHEARSAL_FILES, maxFileBytes: 1024 * 1024 } as const;

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
