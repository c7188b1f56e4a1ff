import { type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Duplex, type Readable } from 'node:stream';

import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { printableTail } from '../../base/printable.js';
import { type MachineEnd, type VirtualMachine } from '../vm/machine.js';
import { LINK_FD } from './command-line.js';

/** Of the guest's console and QEMU's messages, each. */
const KEPT_BYTES = 16_384;
const LAST_WORDS_LENGTH = 500;

/** The last bytes of a stream that a guest may fill without end. */
class Tail {
  #bytes = Buffer.alloc(0);

  constructor(stream: Readable) {
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]).subarray(-KEPT_BYTES);
    });
  }

  get text(): string {
    return this.#bytes.toString('utf8');
  }
}

/** One running QEMU. */
export class QemuProcess implements VirtualMachine {
  readonly link: Duplex;
  readonly ended: Promise<MachineEnd>;
  readonly #child: ChildProcess;
  readonly #console: Tail;
  readonly #messages: Tail;

  private constructor(child: ChildProcess, console: Readable, messages: Readable, link: Duplex) {
    this.#child = child;
    this.#console = new Tail(console);
    this.#messages = new Tail(messages);
    this.link = link;
    // The link breaks whenever the machine ends; whoever reads it learns that from the end of the stream.
    link.on('error', () => link.destroy());
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        resolve(this.#describe(`could not be started: ${error.message}`));
      });
      child.once('close', (code, signal) => {
        resolve(
          this.#describe(
            signal === null ? `exited with code ${code ?? 'unknown'}` : `was ended by ${signal}`,
          ),
        );
      });
    });
  }

  /** Takes ownership of a QEMU that was just spawned. */
  static adopt(child: ChildProcess): QemuProcess {
    const link = child.stdio[LINK_FD] as Duplex | null | undefined;
    if (child.stdout === null || child.stderr === null || link === null || link === undefined) {
      child.kill('SIGKILL');
      throw new GlasshouseError('vmm_failed', 'QEMU was started without its streams.');
    }
    return new QemuProcess(child, child.stdout, child.stderr, link);
  }

  /** State T or t in /proc/pid/stat (proc(5)). */
  isStopped(): boolean {
    if (this.#child.pid === undefined || this.#hasExited()) return false;
    try {
      const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1');
      return /^[Tt]$/.test(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ESRCH') return false;
      throw error;
    }
  }

  async destroy(): Promise<void> {
    if (!this.#hasExited()) this.#child.kill('SIGKILL');
    this.link.destroy();
    await this.ended;
  }

  #hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #describe(description: string): MachineEnd {
    const words = [this.#messages.text, this.#console.text].map((part) =>
      printableTail(part, LAST_WORDS_LENGTH),
    );
    return { description: `QEMU ${description}`, lastWords: words.filter((part) => part !== '').join(' | ') };
  }
}
