// @ts-check
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inRepository } from './paths.mjs';

/**
 * A digest that changes when a file below one of the paths is added, removed or written to. It looks at names,
 * sizes and times only: reading every file would cost more than the step that it saves.
 *
 * @param {readonly string[]} paths relative to the repository; missing ones count as empty
 * @param {readonly string[]} [more] further text that the step depends on
 */
export function fingerprint(paths, more = []) {
  const hash = createHash('sha256').update(JSON.stringify(more));
  for (const path of paths) addToHash(hash, path);
  return hash.digest('hex');
}

/**
 * @param {import('node:crypto').Hash} hash
 * @param {string} path
 */
function addToHash(hash, path) {
  const stats = statSync(inRepository(path), { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isDirectory()) {
    hash.update(`${path}\0${stats.size}\0${stats.mtimeNs}\n`);
    return;
  }
  const names = readdirSync(inRepository(path)).sort();
  for (const name of names) if (name !== 'node_modules') addToHash(hash, join(path, name));
}

/**
 * SHA-256 of a file's content.
 * @param {string} path
 */
export function contentDigest(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/**
 * True when the stamp was written with this very key.
 * @param {string} stamp
 * @param {string} key
 */
export function isStamped(stamp, key) {
  try {
    return readFileSync(stamp, 'utf8') === key;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Notes that a step has been done with these inputs.
 * @param {string} stamp
 * @param {string} key
 */
export function writeStamp(stamp, key) {
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, key);
}
