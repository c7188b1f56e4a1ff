import { hasControllingTerminal } from '../../base/terminal.js';
import { type StdinPlan } from '../backend.js';

/**
 * Whether the program shares our process group and session, or gets a session of its own. It shares them when a
 * person at a terminal gives it its input: then it is the foreground job as it would be without us, can open /dev/tty,
 * and gets Ctrl-C from the kernel. With a session of its own, a signal reaches everything in its process group.
 */
export function sharesProcessGroup(stdin: StdinPlan): boolean {
  return stdin === 'inherit' && hasControllingTerminal();
}
