import { isSum, isTreeEvent, type ObserverMessage, type Shares, type Sum } from './observer-message.js';
import { violation } from './payload-reader.js';

type Phase = 'starting' | 'loaded' | 'attached' | 'counted' | 'over';

/** The order of the observer's messages: docs/observer-link.md, "Observer to host". */
export class LinkOrder {
  #phase: Phase = 'starting';
  #doers = 0;

  /** Throws `observation_unavailable` for a message that was not due. */
  accept(message: ObserverMessage): void {
    const next = nextPhase(this.#phase, message);
    if (next === null) throw violation(`${message.type} came when the link was ${this.#phase}`);
    this.#phase = next;
    if (isSum(message)) this.#acceptSum(message);
  }

  /** The last message has come. */
  get isOver(): boolean {
    return this.#phase === 'over';
  }

  /** A sum names its doers by their places in the last list of them. */
  #acceptSum(message: Sum): void {
    if (message.type === 'doers') this.#doers = message.heads.length;
    else if (hasPlaceFrom(message.shares, this.#doers))
      throw violation(`a sum is about none of the ${this.#doers} doers`);
  }
}

function hasPlaceFrom(shares: Shares, end: number): boolean {
  return shares.some((value, index) => index % 2 === 0 && value >= end);
}

/** Null for what was not due. */
function nextPhase(phase: Phase, message: ObserverMessage): Phase | null {
  if (phase === 'over') return null;
  switch (message.type) {
    case 'loaded':
      return phase === 'starting' ? 'loaded' : null;
    case 'attached':
      return phase === 'loaded' ? 'attached' : null;
    case 'failed':
      return phase === 'starting' || phase === 'loaded' ? 'over' : null;
    case 'end':
      return phase === 'starting' ? null : 'over';
    case 'syscalls':
      return phase === 'attached' || phase === 'counted' ? 'counted' : null;
    case 'heartbeat':
    case 'unknown':
      return phase === 'starting' ? null : phase;
    default:
      return (isTreeEvent(message) || isSum(message)) && phase === 'attached' ? phase : null;
  }
}
