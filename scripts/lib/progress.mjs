// @ts-check
import { performance } from 'node:perf_hooks';

/**
 * Tells on stderr that a long step begins, and how long it took. On a terminal the second line takes the place
 * of the first where nothing else has been written in between.
 *
 * @template Result
 * @param {string} what for example `building guest init`
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
export async function withProgress(what, work) {
  const started = performance.now();
  write(`${what} ...`, false);
  const mine = lines;
  const result = await work();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  write(`${what}: done in ${seconds} s`, lines === mine);
  return result;
}

/** Lines written so far. */
let lines = 0;

/**
 * @param {string} text
 * @param {boolean} overLast
 */
function write(text, overLast) {
  const back = overLast && process.stderr.isTTY ? '\x1b[1A\x1b[2K' : '';
  process.stderr.write(`${back}glasshouse: ${text}\n`);
  lines += 1;
}

/**
 * Says something in passing.
 * @param {string} text
 */
export function say(text) {
  write(text, false);
}
