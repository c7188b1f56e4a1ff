import { type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Duplex, type Readable } from 'node:stream';

import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { printableTail } from '../../base/printable.js';
import { type MachineEnd, type VirtualMachine } from '../vm/machine.js';
import { CONTROL_FD, LINK_FD, STATE_FD } from './command-line.js';
import { QemuControl } from './control.js';
import { type StateReceiver } from './state-receiver.js';

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
  readonly #control: QemuControl | null;
  readonly #receiver: StateReceiver | null;

  private constructor(
    child: ChildProcess,
    console: Readable,
    messages: Readable,
    link: Duplex,
    control: Duplex | null,
    receiver: StateReceiver | null,
  ) {
    this.#control = control === null ? null : new QemuControl(control);
    this.#receiver = receiver;
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
  static adopt(child: ChildProcess, receiver: StateReceiver | null): QemuProcess {
    const link = child.stdio[LINK_FD] as Duplex | null | undefined;
    const control = (child.stdio as readonly unknown[])[CONTROL_FD] as Duplex | null | undefined;
    if (child.stdout === null || child.stderr === null || link === null || link === undefined) {
      child.kill('SIGKILL');
      throw new GlasshouseError('vmm_failed', 'QEMU was started without its streams.');
    }
    return new QemuProcess(child, child.stdout, child.stderr, link, control ?? null, receiver);
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

  /** Goes on from the frozen state at STATE_FD. Throws `vmm_failed` when QEMU does not take it. */
  async resume(): Promise<void> {
    try {
      const control = await this.#negotiate();
      await control.execute('migrate-incoming', { uri: `fd:${STATE_FD}` });
    } catch (error) {
      await this.destroy();
      const { lastWords } = await this.ended;
      throw new GlasshouseError('vmm_failed', `QEMU could not go on from a snapshot. ${lastWords}`, {
        cause: error,
      });
    }
  }

  async pause(): Promise<void> {
    await this.#requireControl().execute('stop');
  }

  async unpause(): Promise<void> {
    await this.#requireControl().execute('cont');
  }

  async freeze(): Promise<Uint8Array> {
    const control = await this.#negotiate();
    const receiver = this.#receiver;
    if (receiver === null) throw new GlasshouseError('internal', 'This machine cannot be frozen.');
    const ended = new AbortController();
    void this.ended.then(() => {
      ended.abort();
    });
    const received = receiver.receive(ended.signal);
    const [state] = await Promise.all([
      received,
      control.execute('migrate', { uri: `unix:/proc/self/fd/${STATE_FD}` }),
    ]);
    const { status } = (await control.execute('query-migrate')) as { status?: unknown };
    if (status !== 'completed')
      throw new GlasshouseError(
        'vmm_failed',
        `QEMU could not freeze the machine: ${JSON.stringify(status)}.`,
      );
    return state;
  }

  async destroy(): Promise<void> {
    if (!this.#hasExited()) this.#child.kill('SIGKILL');
    this.link.destroy();
    await this.ended;
    await this.#receiver?.[Symbol.asyncDispose]();
  }

  #requireControl(): QemuControl {
    if (this.#control === null)
      throw new GlasshouseError('internal', 'This machine has no control connection.');
    return this.#control;
  }

  /** Memory is in a file that both sides have: it is not part of what is sent. */
  async #negotiate(): Promise<QemuControl> {
    const control = this.#requireControl();
    await control.execute('qmp_capabilities');
    await control.execute('migrate-set-capabilities', {
      capabilities: [{ capability: 'x-ignore-shared', state: true }],
    });
    return control;
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
