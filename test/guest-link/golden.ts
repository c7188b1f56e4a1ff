import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const DIRECTORY = path.join(process.cwd(), 'test/fixtures/guest-link');

/** The bytes of one golden file. */
export function goldenBytes(name: string): Buffer {
  return readFileSync(path.join(DIRECTORY, name));
}

/** The same, cut into its frames. */
export function goldenFrames(name: string): readonly Buffer[] {
  const bytes = goldenBytes(name);
  const frames: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = start + 12 + bytes.readUInt32LE(start);
    frames.push(bytes.subarray(start, end));
    start = end;
  }
  return frames;
}

/** The messages of one golden stream in words. */
export function goldenMessages(name: string): readonly Record<string, unknown>[] {
  return JSON.parse(readFileSync(path.join(DIRECTORY, name), 'utf8')) as Record<string, unknown>[];
}

export function goldenNames(prefix: string): readonly string[] {
  return readdirSync(DIRECTORY).filter((name) => name.startsWith(prefix) && name.endsWith('.bin'));
}

/** A message in the form of the golden JSON files: bytes in hex, big integers in decimal. */
export function inWords(message: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]: [string, unknown]) => {
      if (value instanceof Uint8Array) return [name, Buffer.from(value).toString('hex')];
      return [name, typeof value === 'bigint' ? value.toString() : value];
    }),
  );
}
