import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { type GuestTimeouts } from '../../src/backends/vm/guest-execution.js';
import { runOrThrow, runToCompletion } from '../../src/base/child-process.js';
import { type ErrorCode } from '../../src/base/errors.js';
import { defaultImageDirectory, type GuestImage, openImage } from '../../src/images/locate.js';
import { type ExecutionStatus } from '../../src/receipts/receipt.js';
import { initramfsWith, writeImage } from '../contract/guest-image.js';
import { makeQemuBackend, reasonToSkip, ScratchDirectory } from '../contract/subject.js';
import { assertStatus, Laboratory } from './laboratory.js';

const SOURCES = fileURLToPath(new URL('../../../', import.meta.url));
const MARK = 'EVIL-BEHAVIOUR=';
const PATIENT: GuestTimeouts = { bootMs: 60_000, collectMs: 60_000 };
/** No guest boots in that time under emulation, and none has to. */
const SHORT_BOOT: GuestTimeouts = { bootMs: 500, collectMs: 500 };
const SHORT_STOP: GuestTimeouts = { bootMs: 60_000, collectMs: 500 };
const SHORT_MS = 500;

interface EvilGuest {
  readonly title: string;
  /** As numbered in guest/evil-init.c. */
  readonly behaviour: number;
  readonly timeouts: GuestTimeouts;
  readonly status: ExecutionStatus;
  readonly code: ErrorCode | null;
}

const EVIL_GUESTS: readonly EvilGuest[] = [
  ['panics before hello', 0, PATIENT, 'infra_error', 'guest_lost'],
  ['is silent before hello', 1, SHORT_BOOT, 'infra_error', 'boot_timeout'],
  ['panics after hello', 2, PATIENT, 'infra_error', 'guest_lost'],
  ['is silent after hello', 3, { ...PATIENT, bootMs: 12_000 }, 'infra_error', 'boot_timeout'],
  ['panics while running', 4, PATIENT, 'infra_error', 'guest_lost'],
  ['reboots while running', 5, PATIENT, 'infra_error', 'guest_lost'],
  ['powers off while running', 6, PATIENT, 'infra_error', 'guest_lost'],
  ['halts while running', 7, SHORT_STOP, 'timeout', 'guest_unresponsive'],
  ['spins while running', 8, SHORT_STOP, 'timeout', 'guest_unresponsive'],
  ['sends garbage while running', 9, PATIENT, 'infra_error', 'guest_link_violation'],
  ['floods the console while running', 10, SHORT_STOP, 'timeout', 'guest_unresponsive'],
  ['floods stdout for ever', 11, SHORT_STOP, 'output_limit', 'guest_unresponsive'],
  ['repeats a frame', 12, PATIENT, 'infra_error', 'guest_link_violation'],
  ['is silent after the program exited', 13, SHORT_STOP, 'ok', null],
].map(([title, behaviour, timeouts, status, code]) => ({
  title,
  behaviour,
  timeouts,
  status,
  code,
})) as EvilGuest[];

const scratch = new ScratchDirectory();
const skip = await reasonNotToRun();
const laboratories: Laboratory[] = [];

async function reasonNotToRun(): Promise<string | null> {
  const compiler = await runToCompletion('cc', ['--version']).catch(() => null);
  return compiler === null ? 'there is no C compiler' : reasonToSkip(makeQemuBackend(scratch));
}

async function compileEvilInit(): Promise<Buffer> {
  const guest = join(SOURCES, 'guest');
  const output = join(scratch.path, 'evil-init');
  const sources = ['frame.c', 'link.c', 'system.c'].map((name) => join(guest, name));
  const evil = join(SOURCES, 'test/hostile/guest/evil-init.c');
  await runOrThrow('cc', [
    '-std=gnu11',
    '-Wall',
    '-Wextra',
    '-O1',
    '-static',
    `-I${guest}`,
    '-o',
    output,
    evil,
    ...sources,
  ]);
  return readFileSync(output);
}

function withBehaviour(init: Buffer, behaviour: number): Buffer {
  const patched = Buffer.from(init);
  const at = patched.indexOf(MARK);
  assert.ok(at > 0 && patched.indexOf(MARK, at + 1) === -1, 'the mark is in the binary once');
  patched.write(String(behaviour).padStart(2, '0'), at + MARK.length, 'latin1');
  return patched;
}

function laboratoryOf(image: GuestImage, init: Buffer, guest: EvilGuest): Laboratory {
  const imageDirectory = scratch.make(`image-${guest.behaviour}`);
  writeImage(image, imageDirectory, {
    initramfs: initramfsWith(image, withBehaviour(init, guest.behaviour)),
  });
  const laboratory = new Laboratory(
    scratch,
    makeQemuBackend(scratch, { imageDirectory, timeouts: guest.timeouts }),
  );
  laboratories.push(laboratory);
  return laboratory;
}

after(() => {
  for (const laboratory of laboratories) laboratory[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

if (skip !== null) {
  it('hostile guests', { skip });
} else {
  const image = await openImage(defaultImageDirectory());
  const init = await compileEvilInit();
  const sound = new Laboratory(scratch, makeQemuBackend(scratch));
  laboratories.push(sound);

  describe('a real guest that', { concurrency: 2 }, () => {
    for (const guest of EVIL_GUESTS) {
      it(`${guest.title} is ${guest.status}${guest.code === null ? '' : ` (${guest.code})`}`, async () => {
        const laboratory = laboratoryOf(image, init, guest);
        const timeoutMs = guest.timeouts === PATIENT ? null : SHORT_MS;
        const ended = await laboratory.run({ timeoutMs });
        assertStatus(ended, guest.status);
        assert.equal(ended.error?.code ?? null, guest.code, ended.error?.message);
        assert.equal(ended.files.length, 0);
      });
    }
  });

  describe('after hostile guests', () => {
    it('the next run works and nothing is left', () => sound.assertSoundAndClean());
  });
}
