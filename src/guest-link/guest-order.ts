import { violation } from './frame.js';
import { type GuestMessage } from './guest-message.js';

/** What a guest may still deliver; the host decides, the guest is held to it. */
export interface OutputBounds {
  readonly maxFiles: number;
  readonly maxFileBytes: number;
}

type Phase = 'booting' | 'waiting_to_start' | 'running' | 'collecting' | 'complete' | 'over';

const ALLOWED: Readonly<Record<Phase, readonly GuestMessage['type'][]>> = {
  booting: ['hello'],
  waiting_to_start: ['held', 'started', 'start_failed'],
  running: ['stdout', 'stderr', 'stdin_credit', 'exited'],
  collecting: ['output_file', 'output_data', 'output_end'],
  // Whoever reads on after a program that was meant, reads too much.
  complete: ['rehearsed'],
  over: [],
};

const NOTHING: OutputBounds = { maxFiles: 0, maxFileBytes: 0 };

/** The order of docs/guest-link.md as a state machine. A guest that leaves it is not believed any further. */
export class GuestOrder {
  #bounds = NOTHING;
  #phase: Phase;
  /** Names that were given, as latin1 so that every byte counts. */
  readonly #paths = new Set<string>();
  #fileBytes = 0;
  /** Bytes of the current output file that have not arrived yet. */
  #remaining = 0;

  /** `hasGreeted`: the guest said hello before the snapshot was taken that it was cloned from. */
  constructor(hasGreeted: boolean) {
    this.#phase = hasGreeted ? 'waiting_to_start' : 'booting';
  }

  /** What one program may deliver: nothing before this is called, and nothing after a rehearsal. */
  bound(bounds: OutputBounds): void {
    this.#bounds = bounds;
  }

  get isOver(): boolean {
    return this.#phase === 'over' || this.#phase === 'complete';
  }

  /** Throws `guest_link_violation` when `message` must not come now. */
  accept(message: GuestMessage): void {
    if (!ALLOWED[this.#phase].includes(message.type)) {
      throw violation(`${message.type} must not come while the guest is ${this.#phase.replaceAll('_', ' ')}`);
    }
    switch (message.type) {
      case 'hello':
        this.#phase = 'waiting_to_start';
        break;
      case 'started':
        this.#phase = 'running';
        break;
      case 'exited':
        this.#phase = 'collecting';
        break;
      case 'start_failed':
        this.#phase = 'over';
        break;
      case 'output_file':
        this.#acceptFile(message);
        break;
      case 'output_data':
        this.#acceptData(message.bytes.length);
        break;
      case 'output_end':
        this.#expectFileComplete();
        this.#phase = 'complete';
        break;
      case 'rehearsed':
        this.#phase = 'waiting_to_start';
        this.#paths.clear();
        this.#fileBytes = 0;
        this.#bounds = NOTHING;
        break;
      case 'held':
      case 'stdout':
      case 'stderr':
      case 'stdin_credit':
        break;
    }
  }

  #acceptFile(message: Extract<GuestMessage, { type: 'output_file' }>): void {
    this.#expectFileComplete();
    const path = message.path.toString('latin1');
    if (this.#paths.has(path)) throw violation('an output file was named twice');
    this.#paths.add(path);
    if (this.#paths.size > this.#bounds.maxFiles) throw violation('the guest named too many output files');
    if (message.kind !== 'file') return;
    this.#fileBytes += message.sizeBytes;
    if (this.#fileBytes > this.#bounds.maxFileBytes) throw violation('the output files are too large');
    this.#remaining = message.sizeBytes;
  }

  #acceptData(length: number): void {
    if (length > this.#remaining) throw violation('an output file has more bytes than announced');
    this.#remaining -= length;
  }

  #expectFileComplete(): void {
    if (this.#remaining > 0) throw violation('an output file has fewer bytes than announced');
  }
}
