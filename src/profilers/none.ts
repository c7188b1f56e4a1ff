import { type Unobserved } from './profiler.js';

/** What the receipt says when nobody watched. */
export function notObserved(reason: string): Unobserved {
  return { observation: { level: 'none', reason, events: 0, dropped: {} } };
}
