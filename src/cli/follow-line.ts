import { escapeUnprintable } from '../base/printable.js';
import { type ObservedEvent } from '../profilers/profiler.js';

const LONGEST_LINE = 400;
/** Sums that come at the end of a process: in the receipt, and of no interest while it runs. */
const SUMS = ['file_totals', 'peer_totals'];
const MICROSECONDS_PER_SECOND = 1e6;

/** One event as a line for people, safe for a terminal; null for what is not shown. */
export function followLine(event: ObservedEvent): string | null {
  if (SUMS.includes(event.event)) return null;
  const time = (event.at_us / MICROSECONDS_PER_SECOND).toFixed(6).padStart(10);
  const line = escapeUnprintable(`${time} ${String(event.pid).padStart(7)} ${wordsOf(event).join(' ')}`);
  return line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}...` : line;
}

function wordsOf(event: ObservedEvent): string[] {
  const outcome = typeof event['error'] === 'string' ? [`= ${event['error']}`] : [];
  switch (event.event) {
    case 'process':
      return ['start', ...(event['parent_pid'] === null ? [] : [`from ${show(event['parent_pid'])}`])];
    case 'exec':
      return ['exec', show(event['executable']), ...list(event['argv']).map(quoted)];
    case 'process_end':
      return ['end', show(event['signal'] ?? `exit code ${show(event['exit_code'])}`)];
    case 'file':
      return [
        event['how'] === 'opened' ? 'open' : show(event['how']),
        show(event['path']),
        `(${show(event['access'])})`,
      ];
    case 'open_failed':
      return ['open', show(event['path']), ...outcome];
    case 'change':
      return [
        show(event['operation']),
        show(event['path']),
        ...optional('->', event['to'] ?? event['target']),
        ...outcome,
      ];
    case 'socket':
      return [show(event['operation']), show(event['protocol']), endpoint(event), ...outcome];
    case 'dns':
      return ['asks for', show(event['name'])];
    case 'notable':
      return ['calls', show(event['call']), ...outcome];
    default:
      return [event.event];
  }
}

function endpoint({ address, port }: ObservedEvent): string {
  return typeof port === 'number' ? `${show(address)} port ${port}` : show(address);
}

function optional(word: string, value: unknown): string[] {
  return value === undefined || value === null ? [] : [word, show(value)];
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function quoted(argument: unknown): string {
  const text = show(argument);
  return /^[\w@%+=:,./-]+$/.test(text) ? text : JSON.stringify(text);
}

/** A string, a number, or the bytes of what is no text. */
function show(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  if (typeof value === 'object' && value !== null && 'base64' in value)
    return `base64:${String(value.base64)}`;
  return '-';
}
