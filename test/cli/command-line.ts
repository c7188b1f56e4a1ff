import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { type Predicate, type Statement } from '../../src/receipts/receipt.js';

export const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** How one call of the command line ended. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
}

export interface CallOptions {
  /** Bytes for stdin; none: end of file at once. */
  readonly stdin?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  /** Instead of the scratch directory. */
  readonly workingDirectory?: string;
  /** Other streams than pipes, for example a file that is open for appending. */
  readonly stdio?: StdioOptions;
}

/** The environment of the tests without what would change how Glasshouse behaves. */
export function cleanEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !/^(GLASSHOUSE_|NODE_|NO_COLOR$|FORCE_COLOR$|XDG_)/.test(entry[0]),
  );
  return Object.fromEntries(entries);
}

/** A fresh installation: a directory to work in, with a data directory below it. Dispose removes it. */
export class Installation implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'glasshouse-cli-'));
  readonly dataDirectory = join(this.directory, 'data');
  /** Where `run` writes its receipt when it is not told. */
  readonly receiptFile = join(this.directory, 'receipt.json');

  /** Starts the command line; the caller waits with ended(). */
  start(args: readonly string[], options: CallOptions = {}): ChildProcess {
    return spawn(process.execPath, [MAIN, ...args], {
      cwd: options.workingDirectory ?? this.directory,
      env: {
        ...cleanEnvironment(),
        GLASSHOUSE_DATA_DIR: this.dataDirectory,
        ...options.environment,
      },
      stdio: options.stdio ?? 'pipe',
    });
  }

  /** Calls the command line and waits for its end. */
  async call(args: readonly string[], options: CallOptions = {}): Promise<Ended> {
    const child = this.start(args, options);
    // Whoever does not read its stdin closes it: that is not what these tests are about.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.stdin ?? '');
    return ended(child);
  }

  /** Calls it through a shell, which has the command line as "$@", and waits for its end. */
  throughShell(script: string, args: readonly string[], options: CallOptions = {}): Promise<Ended> {
    const child = spawn('/bin/sh', ['-c', script, 'sh', process.execPath, MAIN, ...args], {
      cwd: this.directory,
      env: { ...cleanEnvironment(), GLASSHOUSE_DATA_DIR: this.dataDirectory, ...options.environment },
      stdio: 'pipe',
    });
    child.stdin.end(options.stdin ?? '');
    return ended(child);
  }

  /** Calls it and throws unless it exits with 0; resolves to its stdout. */
  async ok(args: readonly string[], options: CallOptions = {}): Promise<string> {
    const result = await this.call(args, options);
    if (result.code !== 0) throw new Error(`${args.join(' ')} exited with ${result.code}: ${result.stderr}`);
    return result.stdout;
  }

  /** The predicate inside the newest receipt of the store. */
  async latest(): Promise<Predicate> {
    const text = await this.ok(['receipts', 'show', '--json']);
    return (JSON.parse(text) as Statement).predicate;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits for the end of a command line and for all that it wrote to pipes. */
export async function ended(child: ChildProcess): Promise<Ended> {
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const [how, stdoutBytes, stderrBytes] = await Promise.all([
    exit,
    child.stdout === null ? Buffer.alloc(0) : buffer(child.stdout),
    child.stderr === null ? Buffer.alloc(0) : buffer(child.stderr),
  ]);
  return { ...how, stdout: stdoutBytes.toString(), stderr: stderrBytes.toString(), stdoutBytes };
}

/** The predicate inside a receipt file, unverified. */
export function predicateOf(file: string): Predicate {
  const bundle = JSON.parse(readFileSync(file, 'utf8')) as { envelope: { payload: string } };
  const statement = Buffer.from(bundle.envelope.payload, 'base64').toString('utf8');
  return (JSON.parse(statement) as Statement).predicate;
}

/** A copy of a receipt file in which one byte of what was signed is another one. */
export function withOneByteChanged(bundle: Uint8Array): Buffer {
  const file = JSON.parse(Buffer.from(bundle).toString('utf8')) as { envelope: { payload: string } };
  const payload = Buffer.from(file.envelope.payload, 'base64');
  const at = payload.indexOf('"outcome"') + 1;
  payload.writeUInt8(payload.readUInt8(at) ^ 1, at);
  return Buffer.from(
    JSON.stringify({ ...file, envelope: { ...file.envelope, payload: payload.toString('base64') } }),
  );
}
