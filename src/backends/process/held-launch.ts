import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { type Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

import { killChild } from '../../base/child-process.js';
import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { inheritedDescriptors } from '../../base/inherited-descriptors.js';
import { type Hold } from '../backend.js';

interface Command {
  readonly file: string;
  readonly argv: readonly [string, ...string[]];
  readonly options: SpawnOptions;
}

/** docs/observer-link.md, "hold": the errno of an execve that failed. */
const ERRNO_BYTES = 4;

/**
 * Starts the hold program, lets `hold` get ready, and releases it into the command. Resolves when the kernel has
 * replaced it by the command. Rejects, with nothing left running, with a system error when the command cannot be
 * executed, with `observation_unavailable` when it cannot be held, and as `hold.ready` did.
 */
export async function launchHeld(
  hold: Hold,
  command: Command,
  signal: AbortSignal,
): Promise<{ readonly child: ChildProcess; readonly pid: number }> {
  const held = await HeldCommand.start(hold.program, command);
  try {
    await hold.ready(held.pid, signal);
    await held.release();
  } catch (error) {
    await held.giveUp();
    throw error;
  }
  return held;
}

class HeldCommand {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly #gate: Socket;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess, pid: number, gate: Socket) {
    this.child = child;
    this.pid = pid;
    this.#gate = gate;
    // A command that is killed while it is held is an end like any other; what it cannot be told is no error.
    gate.on('error', () => undefined);
    this.#ended = once(child, 'exit');
  }

  static async start(program: string, { file, argv, options }: Command): Promise<HeldCommand> {
    const gate = freeDescriptor();
    const stdio = [...(options.stdio as (number | string | null)[])];
    // Descriptors in between stay as they are: what the command inherits from whoever started us.
    while (stdio.length < gate) stdio.push('ignore');
    const child = spawn(program, [String(gate), file, ...argv], {
      ...options,
      stdio: [...stdio, 'pipe'] as SpawnOptions['stdio'] & unknown[],
    });
    if (child.pid === undefined)
      throw cannotHold(program, await once(child, 'error').catch((error: unknown) => error));
    return new HeldCommand(child, child.pid, child.stdio[gate] as Socket);
  }

  /** Resolves when it has become the command, or has been killed. Rejects with the error of execve(2). */
  async release(): Promise<void> {
    const answer: Buffer[] = [];
    this.#gate.on('data', (chunk: Buffer) => {
      answer.push(chunk);
    });
    const closed = new Promise((resolve) => this.#gate.once('close', resolve));
    this.#gate.write('.');
    await closed;
    const bytes = Buffer.concat(answer);
    if (bytes.length >= ERRNO_BYTES) throw execError(bytes.readUInt32LE(0));
  }

  /** It ends without having executed anything. */
  async giveUp(): Promise<void> {
    this.#gate.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      killChild(this.child);
      await this.#ended;
    }
  }
}

/** The first number above stderr that the command does not inherit. */
function freeDescriptor(): number {
  const taken = new Set(inheritedDescriptors());
  let descriptor = 3;
  while (taken.has(descriptor)) descriptor += 1;
  return descriptor;
}

function cannotHold(program: string, cause: unknown): GlasshouseError {
  const code = systemErrorCode(cause) ?? String(cause);
  return new GlasshouseError('observation_unavailable', `${program} cannot be started: ${code}`, { cause });
}

function execError(errno: number): Error {
  const code = errnoName(errno);
  return Object.assign(new Error(`execve ${code}`), { code });
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `E${errno}`; // One that Node.js has no name for.
  }
}
