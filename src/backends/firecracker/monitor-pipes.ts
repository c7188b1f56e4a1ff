import { PipeReader } from '../../base/pipe-reader.js';
import { Tail } from '../vm/tail.js';
import { type Cell } from './cell.js';
import { FILES } from './machine-setup.js';
import { MachineMetrics, type MetricsTally } from './metrics.js';

/**
 * What one Firecracker says of itself, over two pipes in its cell: its log, of which the end is kept, and its metrics.
 * Firecracker never waits for a pipe that is full, and what it writes takes no room on a disk.
 */
export class MonitorPipes {
  readonly log = new Tail();
  readonly #metrics: MachineMetrics;
  #readers: readonly PipeReader[] = [];

  constructor(tally: MetricsTally) {
    this.#metrics = new MachineMetrics(tally);
  }

  /**
   * Listens; the pipes end with Firecracker. To be called when it has opened them, since a pipe without a writer is at its
   * end, and before anything runs in its guest that could put something else in their place. Throws `vmm_failed`.
   */
  open(cell: Cell): void {
    const log = cell.openPipe(FILES.log);
    this.#readers = [new PipeReader(log, (chunk) => this.#takeLog(chunk))];
    const metrics = cell.openPipe(FILES.metrics);
    const reader: PipeReader = new PipeReader(metrics, (chunk) => {
      if (!this.#metrics.take(chunk)) reader.close();
      return Promise.resolve();
    });
    this.#readers = [...this.#readers, reader];
  }

  /** When Firecracker has ended: takes what is still in the pipes, and closes them. Idempotent. */
  async close(): Promise<void> {
    for (const reader of this.#readers) reader.drain();
    await Promise.all(this.#readers.map(({ finished }) => finished));
  }

  #takeLog(chunk: Uint8Array): Promise<void> {
    this.log.add(chunk);
    return Promise.resolve();
  }
}
