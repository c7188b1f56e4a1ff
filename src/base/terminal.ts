import { readProcess } from './process-table.js';

/** Whether this process has a controlling terminal, whatever its descriptors are redirected to. */
export function hasControllingTerminal(): boolean {
  return (readProcess('self')?.terminalDevice ?? 0) !== 0;
}
