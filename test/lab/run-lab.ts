import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { lockDirectory } from '../../src/images/lock.js';
import { WORK_PREFIX, removeDeadBuilds, removeWorkDirectory } from '../../src/images/publish.js';
import { type BuildContext } from '../../src/images/tools.js';
import { type FirecrackerBinaries } from './binaries.js';
import { makeScratchDisk, makeSharedDisk } from './disks.js';
import { type LabJob, jobScript } from './job.js';
import { type OuterMachine, runOuterMachine } from './outer-machine.js';
import { type OuterRoot, ensureOuterRoot } from './outer-root.js';
import { gatherShare, jobEnvironment } from './share.js';

/** Logs of this many failed runs are kept. */
const LOGS_KEPT = 5;

export interface LabOptions {
  readonly repository: string;
  readonly binaries: FirecrackerBinaries;
  /** A directory with a `firecracker` of another version, for what passes between versions; null: none. */
  readonly otherVersion: string | null;
  readonly job: LabJob;
  /** Milliseconds for the job, with the boot of the outer guest. */
  readonly timeLimitMs: number;
  /** As mmdebstrap takes it; null for Debian's own servers. */
  readonly mirror: string | null;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
}

/** How a run of the lab ended; the logs are there unless the job ended with 0. */
export interface LabOutcome {
  /** Null when the outer guest did not say how its job ended: it broke down, or took too long. */
  readonly exitCode: number | null;
  readonly tookTooLong: boolean;
  readonly logs: string;
}

/** Runs a job in the outer guest. One run at a time in a clone; what one that was killed has left is removed first. */
export async function runLab(options: LabOptions): Promise<LabOutcome> {
  const directory = join(options.repository, 'build', 'lab');
  await mkdir(directory, { recursive: true });
  await using locked = await lockDirectory(directory);
  await removeDeadBuilds(locked.directory);
  const stub = join(options.repository, 'test', 'lab', 'outer', 'stub.sh');
  const { mirror, signal, onProgress } = options;
  const root = await ensureOuterRoot({ directory, stub, mirror, signal, onProgress });
  const logs = await makeLogDirectory(directory);
  const workDirectory = await mkdtemp(join(directory, WORK_PREFIX));
  try {
    await chmod(workDirectory, 0o755);
    const context = { workDirectory, signal, epochSeconds: Math.floor(Date.now() / 1000) };
    const machine = await prepareMachine(options, context, root, logs);
    const timeLimit = AbortSignal.timeout(options.timeLimitMs);
    onProgress('booting the outer guest');
    const exitCode = await runOuterMachine(machine, AbortSignal.any([signal, timeLimit]));
    signal.throwIfAborted();
    if (exitCode === 0) await rm(logs, { recursive: true });
    return { exitCode, tookTooLong: exitCode === null && timeLimit.aborted, logs };
  } finally {
    await removeWorkDirectory(workDirectory);
  }
}

async function prepareMachine(
  options: LabOptions,
  context: BuildContext,
  root: OuterRoot,
  logs: string,
): Promise<OuterMachine> {
  options.onProgress('making the disks of the outer guest');
  const { workDirectory } = context;
  const share = join(workDirectory, 'share');
  await gatherShare(context, share, {
    repository: options.repository,
    binaries: options.binaries,
    otherVersion: options.otherVersion,
    job: jobScript(options.job, jobEnvironment(options.otherVersion !== null)),
    outerTree: root.tree,
  });
  const machine = {
    root,
    sharedDisk: join(workDirectory, 'shared.ext4'),
    scratchDisk: join(workDirectory, 'scratch.ext4'),
    consoleLog: join(logs, 'console.log'),
    outputLog: join(logs, 'output.log'),
    resultFile: join(workDirectory, 'result'),
  };
  await makeSharedDisk(context, share, machine.sharedDisk);
  await makeScratchDisk(context, machine.scratchDisk);
  return machine;
}

/** A new directory, named by the time, so that the newest come last; the oldest are removed. */
async function makeLogDirectory(directory: string): Promise<string> {
  const all = join(directory, 'logs');
  await mkdir(all, { recursive: true });
  const older = (await readdir(all)).sort();
  for (const name of older.slice(0, Math.max(0, older.length - LOGS_KEPT + 1))) {
    await rm(join(all, name), { recursive: true });
  }
  const mine = join(all, new Date().toISOString().replaceAll(':', '-'));
  await mkdir(mine);
  return mine;
}
