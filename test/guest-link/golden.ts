import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const DIRECTORY = path.join(process.cwd(), 'test/fixtures/guest-link');

/** The bytes of one golden file. */
export function goldenBytes(name: string): Buffer {
  return readFileSync(path.join(DIRECTORY, name));
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
