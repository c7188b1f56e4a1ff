import { setImmediate as nextTurn } from 'node:timers/promises';

import { PipeReader } from '../../base/pipe-reader.js';
import { Tail } from '../vm/tail.js';
import { type Cell } from './cell.js';
import { FILES } from './machine-setup.js';
import { MachineMetrics, type MetricsTally } from './metrics.js';

/** Of warnings and errors; who has more to say was taken over, and shall not keep us busy. */
export const MAX_LOG_BYTES = 4 * 1024 * 1024;

/**
 * What one Firecracker says of itself, over two pipes in its cell: its log, of which the last part is kept, and metrics.
 * Firecracker never waits for a pipe that is full, and what it writes takes no room on a disk.
 */
export class MonitorPipes {
  readonly log = new Tail();
  #logBytesLeft = MAX_LOG_BYTES;
  readonly #metrics: MachineMetrics;
  readonly #readers: PipeReader[] = [];

  constructor(tally: MetricsTally) {
    this.#metrics = new MachineMetrics(tally);
  }

  /**
   * Listens; the pipes end with Firecracker. To be called when it has opened them, since a pipe without a writer is at its
   * end, and before anything runs in its guest that could put something else in their place. Throws `vmm_failed`.
   */
  open(cell: Cell): void {
    this.#listen(cell.openPipe(FILES.log), (chunk) => this.#takeLog(chunk));
    this.#listen(cell.openPipe(FILES.metrics), (chunk) => this.#metrics.take(chunk));
  }

  /** When the last of its metrics are not to be had. */
  giveUpMetrics(): void {
    this.#metrics.giveUp();
  }

  /** When Firecracker has ended: takes what is still in the pipes, and closes them. Idempotent; never rejects. */
  async close(): Promise<void> {
    for (const reader of this.#readers) reader.drain();
    await Promise.allSettled(this.#readers.map(({ finished }) => finished));
  }

  /** Until `take` says that it has had enough. Who writes without end gets no more than one chunk a turn. */
  #listen(descriptor: number, take: (chunk: Uint8Array) => boolean): void {
    const reader: PipeReader = new PipeReader(descriptor, async (chunk) => {
      if (!take(chunk)) reader.close();
      await nextTurn();
    });
    this.#readers.push(reader);
  }

  #takeLog(chunk: Uint8Array): boolean {
    this.log.add(chunk);
    this.#logBytesLeft -= chunk.length;
    return this.#logBytesLeft > 0;
  }
}
