import { readProcess } from '../../base/process-table.js';

/** True while something holds the process stopped: a signal or a debugger (proc_pid_stat(5)). */
export function isProcessStopped(pid: number): boolean {
  return /^[Tt]$/.test(readProcess(pid)?.state ?? '');
}
