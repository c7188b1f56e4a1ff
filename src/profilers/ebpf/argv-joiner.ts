import { type ArgvPart, type Executed, type TreeEvent } from './observer-message.js';

/** An exec with the whole of its arguments, each ended by a NUL. */
export interface ExecutedWithArgv extends Executed {
  readonly argv: Buffer;
  readonly argvComplete: boolean;
}

export type JoinedEvent = Exclude<TreeEvent, ArgvPart | Executed> | ExecutedWithArgv;

/** Arguments of all processes that have not come yet; further ones are not waited for. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

interface Waiting {
  readonly exec: Executed;
  readonly parts: Buffer[];
  missing: number;
}

/** Puts an exec and the frames of its argv together; the events of one process stay in order. */
export class ArgvJoiner {
  readonly #waiting = new Map<string, Waiting>();
  #waitingBytes = 0;

  /** The events that are whole now. */
  push(event: TreeEvent): JoinedEvent[] {
    const key = `${event.pid}:${event.birthNs}`;
    if (event.type === 'argv') return this.#addPart(key, event);
    const earlier = this.#waiting.size === 0 ? [] : this.#release(key);
    if (event.type !== 'exec') return [...earlier, event];
    if (event.argvBytes === 0) return [...earlier, withArgv({ exec: event, parts: [], missing: 0 })];
    this.#waiting.set(key, { exec: event, parts: [], missing: event.argvBytes });
    return earlier;
  }

  /** What never became whole. */
  end(): JoinedEvent[] {
    return [...this.#waiting.keys()].flatMap((key) => this.#release(key));
  }

  #addPart(key: string, { bytes }: ArgvPart): JoinedEvent[] {
    const waiting = this.#waiting.get(key);
    // Its exec was lost.
    if (waiting === undefined) return [];
    // The frame's bytes are a view of a chunk that is otherwise done with.
    waiting.parts.push(Buffer.from(bytes));
    waiting.missing -= bytes.length;
    this.#waitingBytes += bytes.length;
    return waiting.missing <= 0 || this.#waitingBytes > MAX_WAITING_BYTES ? this.#release(key) : [];
  }

  #release(key: string): JoinedEvent[] {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return [];
    this.#waiting.delete(key);
    for (const part of waiting.parts) this.#waitingBytes -= part.length;
    return [withArgv(waiting)];
  }
}

function withArgv({ exec, parts, missing }: Waiting): ExecutedWithArgv {
  return { ...exec, argv: Buffer.concat(parts), argvComplete: missing === 0 && !exec.argvIncomplete };
}
