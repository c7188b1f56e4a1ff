/**
 * Stands where QEMU stands and speaks the guest link badly: descriptor 3 is the link, stdout is the guest's console.
 * Its first argument names what it does wrong.
 */
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';

import { encodeFrame, FRAME_HEADER_BYTES } from '../../src/guest-link/frame.js';
import { GUEST_FRAME_TYPES, LINK_PROTOCOL_VERSION } from '../../src/guest-link/guest-message.js';
import { HOST_FRAME_TYPES } from '../../src/guest-link/host-message.js';

type Word = keyof typeof GUEST_FRAME_TYPES;
const U32_MAX = 0xffff_ffff;

function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32LE(value, 4 * index));
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

class BadGuest {
  readonly #link = new Socket({ fd: 3 });
  #sequence = 0;
  #pending = Buffer.alloc(0);

  constructor() {
    this.#link.on('error', () => process.exit(0));
    this.#link.on('close', () => process.exit(0));
  }

  say(word: Word, payload: Uint8Array): Promise<void> {
    return this.raw(encodeFrame(GUEST_FRAME_TYPES[word], this.#sequence++, payload));
  }

  raw(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#link.write(bytes, () => {
        resolve();
      });
    });
  }

  hello(): Promise<void> {
    return this.say('hello', Buffer.concat([u32(LINK_PROTOCOL_VERSION), u64(1n)]));
  }

  /** Up to the point where the program would run. */
  async run(): Promise<void> {
    await this.hello();
    await this.heard('start');
    await this.say('started', u64(2n));
  }

  /** Up to the point where output files are due. */
  async exit(exitCode = 0, signal = 0, flags = 0): Promise<void> {
    await this.run();
    await this.say(
      'exited',
      Buffer.concat([u32(exitCode, signal, flags), u64(1n), u64(1n), u64(1n), u64(3n)]),
    );
  }

  async file(path: string | Uint8Array, sizeBytes: bigint, kind = 1, mode = 0o644): Promise<void> {
    await this.say('output_file', Buffer.concat([u32(kind, mode), u64(sizeBytes), Buffer.from(path)]));
  }

  /** Resolves when the host has sent a frame of that type; what came before it is forgotten. */
  async heard(word: keyof typeof HOST_FRAME_TYPES): Promise<void> {
    for (;;) {
      while (this.#pending.length >= FRAME_HEADER_BYTES) {
        const end = FRAME_HEADER_BYTES + this.#pending.readUInt32LE(0);
        if (this.#pending.length < end) break;
        const type = this.#pending.readUInt16LE(4);
        this.#pending = this.#pending.subarray(end);
        if (type === HOST_FRAME_TYPES[word]) return;
      }
      const chunk = this.#link.read() as Buffer | null;
      if (chunk === null) await new Promise((resolve) => this.#link.once('readable', resolve));
      else this.#pending = Buffer.concat([this.#pending, chunk]);
    }
  }

  /** Ends like a machine that is switched off. */
  off(): void {
    process.exit(0);
  }

  /** Closes the link and lives on. */
  hangUp(): void {
    this.#link.removeAllListeners('close');
    this.#link.destroy();
    this.stay();
  }

  stay(): void {
    setInterval(() => undefined, 1_000_000);
  }
}

const guest = new BadGuest();
const stdoutFrame = (length: number): Buffer => Buffer.alloc(length, 'x');

async function endlessStdout(): Promise<void> {
  for (;;) await guest.say('stdout', stdoutFrame(65_536));
}

const BEHAVIOURS: Readonly<Record<string, () => Promise<void> | void>> = {
  // Before the program runs.
  'says nothing': () => {
    guest.stay();
  },
  'ends before hello': () => {
    guest.off();
  },
  'sends garbage': async () => {
    for (;;) await guest.raw(randomBytes(65_536));
  },
  'sends a frame that is too long': () =>
    guest.raw(Buffer.concat([u32(65_537), Buffer.from([64, 0, 0, 0]), u32(0)])),
  'announces a frame of 4 GB': () =>
    guest.raw(Buffer.concat([u32(U32_MAX), Buffer.from([64, 0, 0, 0]), u32(0)])),
  'sets the reserved field': () => {
    const frame = encodeFrame(64, 0, Buffer.concat([u32(LINK_PROTOCOL_VERSION), u64(1n)]));
    frame[6] = 1;
    return guest.raw(frame);
  },
  'begins with sequence 1': () =>
    guest.raw(encodeFrame(64, 1, Buffer.concat([u32(LINK_PROTOCOL_VERSION), u64(1n)]))),
  'sends a frame twice': async () => {
    const frame = encodeFrame(64, 0, Buffer.concat([u32(LINK_PROTOCOL_VERSION), u64(1n)]));
    await guest.raw(Buffer.concat([frame, frame]));
  },
  'says hello twice': async () => {
    await guest.hello();
    await guest.hello();
  },
  'speaks another version': () =>
    guest.say('hello', Buffer.concat([u32(LINK_PROTOCOL_VERSION - 1), u64(1n)])),
  'sends an unknown type': () => guest.raw(encodeFrame(99, 0, Buffer.alloc(0))),
  'answers with a type of the host': () => guest.raw(encodeFrame(8, 0, Buffer.alloc(0))),
  'sends a payload that is too short': () => guest.say('hello', u32(1)),
  'says hello and no more': async () => {
    await guest.hello();
    guest.stay();
  },
  'exits before it starts': async () => {
    await guest.hello();
    await guest.say('exited', Buffer.alloc(44));
  },
  'writes before it starts': async () => {
    await guest.hello();
    await guest.say('stdout', stdoutFrame(1));
  },
  'fails at an unknown stage': async () => {
    await guest.hello();
    await guest.say('start_failed', u32(7, 1));
  },
  'fails with an impossible errno': async () => {
    await guest.hello();
    await guest.say('start_failed', u32(6, 70_000));
  },
  'refuses input and reads no more': async () => {
    await guest.hello();
    await guest.say('start_failed', u32(3, 28));
    guest.stay();
  },
  // While the program runs.
  'starts twice': async () => {
    await guest.run();
    await guest.say('started', u64(2n));
  },
  'writes an empty frame': async () => {
    await guest.run();
    await guest.say('stdout', Buffer.alloc(0));
  },
  'grants no credit': async () => {
    await guest.run();
    await guest.say('stdin_credit', u32(0));
  },
  'sends files while it runs': async () => {
    await guest.run();
    await guest.file('x', 0n);
  },
  'dies while it runs': async () => {
    await guest.run();
    guest.off();
  },
  'hangs up while it runs': async () => {
    await guest.run();
    guest.hangUp();
  },
  'dies inside a frame': async () => {
    await guest.run();
    await guest.raw(encodeFrame(67, 2, stdoutFrame(1000)).subarray(0, 100));
    guest.off();
  },
  'does not obey': async () => {
    await guest.run();
    guest.stay();
  },
  'floods stdout whatever it is told': async () => {
    await guest.run();
    await endlessStdout();
  },
  'grants credit without end and reads nothing': async () => {
    await guest.run();
    for (let round = 0; round < 10_000; round += 1) await guest.say('stdin_credit', u32(U32_MAX));
    guest.stay();
  },
  'floods the console': async () => {
    await guest.run();
    for (let round = 0; round < 500; round += 1) {
      await new Promise((resolve) => process.stdout.write(Buffer.alloc(65_536, '\x1b[2J\x00\xff'), resolve));
      await new Promise((resolve) => process.stderr.write(Buffer.alloc(65_536, '\x1b]0;x\x07\n'), resolve));
    }
    guest.off();
  },
  // At the end.
  'exits with code 256': () => guest.exit(256),
  'exits with signal 65': () => guest.exit(0, 65),
  'exits with a code and a signal': () => guest.exit(1, 9),
  'exits with unknown flags': () => guest.exit(0, 0, 2),
  'exits twice': async () => {
    await guest.exit();
    await guest.say('exited', Buffer.alloc(44));
  },
  'writes after it exited': async () => {
    await guest.exit();
    await guest.say('stdout', stdoutFrame(1));
  },
  'grants credit after it exited': async () => {
    await guest.exit();
    await guest.say('stdin_credit', u32(1));
  },
  'names ../x': () => guest.exit().then(() => guest.file('../x', 0n)),
  'names /etc/x': () => guest.exit().then(() => guest.file('/etc/x', 0n)),
  'names a/../../x': () => guest.exit().then(() => guest.file('a/../../x', 0n)),
  'names a//x': () => guest.exit().then(() => guest.file('a//x', 0n)),
  'names .': () => guest.exit().then(() => guest.file('.', 0n)),
  'names nothing': () => guest.exit().then(() => guest.file('', 0n)),
  'names a NUL': () => guest.exit().then(() => guest.file('a\0b', 0n)),
  'names 5,000 bytes': () => guest.exit().then(() => guest.file('a/'.repeat(2500) + 'x', 0n)),
  'names a set-user-ID beyond all bits': () => guest.exit().then(() => guest.file('x', 0n, 1, 0o100644)),
  'names an unknown kind': () => guest.exit().then(() => guest.file('x', 0n, 6)),
  'names more bytes than a number holds': () => guest.exit().then(() => guest.file('x', 1n << 60n)),
  'names more bytes than the disk has': () => guest.exit().then(() => guest.file('x', 1n << 30n)),
  'sends bytes of no file': () => guest.exit().then(() => guest.say('output_data', stdoutFrame(1))),
  'sends more bytes than it named': async () => {
    await guest.exit();
    await guest.file('x', 1n);
    await guest.say('output_data', stdoutFrame(2));
  },
  'sends fewer bytes than it named': async () => {
    await guest.exit();
    await guest.file('x', 2n);
    await guest.say('output_data', stdoutFrame(1));
    await guest.say('output_end', u32(0));
  },
  'names more files than are allowed': async () => {
    await guest.exit();
    for (let index = 0; index <= 1000; index += 1) await guest.file(`file-${index}`, 0n);
  },
  'ends with unknown flags': () => guest.exit().then(() => guest.say('output_end', u32(4))),
  'never ends its list': async () => {
    await guest.exit();
    await guest.file('x', 0n);
    guest.stay();
  },
  'dies in the middle of its files': async () => {
    await guest.exit(3);
    await guest.file('whole', 1n);
    await guest.say('output_data', stdoutFrame(1));
    await guest.file('half', 2n);
    await guest.say('output_data', stdoutFrame(1));
    guest.off();
  },
  behaves: async () => {
    await guest.run();
    await guest.say('stdout', Buffer.from('4\n'));
    await guest.say('exited', Buffer.alloc(44));
    await guest.say('output_end', u32(0));
    guest.stay();
  },
};

const behaviour = BEHAVIOURS[process.argv[2] ?? ''];
if (behaviour === undefined) throw new Error(`unknown behaviour ${String(process.argv[2])}`);
await behaviour();
