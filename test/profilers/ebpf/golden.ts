import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const DIRECTORY = path.join(process.cwd(), 'test/fixtures/observer-link');

/** A golden stream, and what it says in words (test/fixtures/observer-link/README.md). */
export function goldenBytes(name: string): Buffer {
  return readFileSync(path.join(DIRECTORY, name));
}

export type GoldenWords = Readonly<Record<string, unknown>> & { readonly type: string };

export function goldenWords(name: string): readonly GoldenWords[] {
  return JSON.parse(readFileSync(path.join(DIRECTORY, name), 'utf8')) as GoldenWords[];
}

export function goldenNames(prefix: string): readonly string[] {
  return readdirSync(DIRECTORY).filter((name) => name.startsWith(prefix) && name.endsWith('.bin'));
}
