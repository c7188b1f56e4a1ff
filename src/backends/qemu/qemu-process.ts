import { type ChildProcess } from 'node:child_process';
import { type Duplex, type Readable } from 'node:stream';

import { killChild } from '../../base/child-process.js';
import { GlasshouseError } from '../../base/errors.js';
import { type MachineEnd, type VirtualMachine } from '../vm/machine.js';
import { outputOf } from '../vm/monitor-streams.js';
import { isProcessStopped } from '../vm/stopped.js';
import { lastWords, Tail } from '../vm/tail.js';
import { CONTROL_FD, LINK_FD, STATE_FD } from './command-line.js';
import { QemuControl } from './control.js';
import { type StateReceiver } from './state-receiver.js';

/** One running QEMU. */
export class QemuProcess implements VirtualMachine {
  readonly link: Duplex;
  readonly ended: Promise<MachineEnd>;
  readonly #child: ChildProcess;
  readonly #console: Tail;
  readonly #messages: Tail;
  readonly #control: QemuControl | null;
  readonly #receiver: StateReceiver | null;
  /** The emulator's own process. */
  #pid: number | undefined;

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
    this.#pid = child.pid;
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
    const { stdout, stderr } = outputOf(child, 'QEMU');
    const link = child.stdio[LINK_FD] as Duplex | null | undefined;
    const control = (child.stdio as readonly unknown[])[CONTROL_FD] as Duplex | null | undefined;
    if (!link) throw new GlasshouseError('internal', 'QEMU was spawned without a guest link.');
    return new QemuProcess(child, stdout, stderr, link, control ?? null, receiver);
  }

  /** The emulator is not the process that was spawned, which stands for it. */
  runsAs(pid: number): void {
    this.#pid = pid;
  }

  /** Of the emulator itself. */
  get pid(): number | undefined {
    return this.#pid;
  }

  hasSpoken(): boolean {
    return !this.#console.isEmpty;
  }

  isStopped(): boolean {
    return this.#pid !== undefined && !this.#hasExited() && isProcessStopped(this.#pid);
  }

  /** Goes on from the frozen state at STATE_FD. Throws `vmm_failed` when QEMU does not take it. */
  async resume(): Promise<void> {
    try {
      const control = await this.#negotiate();
      await control.execute('migrate-incoming', { uri: `fd:${STATE_FD}` });
    } catch (error) {
      await this.destroy();
      const end = await this.ended;
      throw new GlasshouseError('vmm_failed', `QEMU could not go on from a snapshot. ${end.lastWords}`, {
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

  takeStock(): Promise<void> {
    return Promise.resolve();
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
    if (!this.#hasExited()) killChild(this.#child);
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
    return { description: `QEMU ${description}`, lastWords: lastWords([this.#messages, this.#console]) };
  }
}
