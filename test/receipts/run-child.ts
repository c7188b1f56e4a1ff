import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** Compiled; to be run by Node.js. */
export const CHILD = fileURLToPath(new URL('child.js', import.meta.url));

/** Starts child.ts as a process of its own; its standard error is this process's. */
export function startChild(...args: string[]): ChildProcessByStdio<null, Readable, null> {
  return spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Runs child.ts to its end and returns what it printed; throws when it fails. */
export async function runChild(...args: string[]): Promise<string> {
  const child = startChild(...args);
  const closed = once(child, 'close');
  let output = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) output += String(chunk);
  const [code] = (await closed) as [number | null];
  if (code !== 0) throw new Error(`the child ended with ${String(code)}`);
  return output.trim();
}
