import { readFile } from 'node:fs/promises';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { writeFileAtomically } from '../../base/atomic-file.js';
import { GuestConnection } from '../../guest-link/connection.js';
import { type GuestImage } from '../../images/locate.js';
import { type Accelerator, type VirtualMachine, type VirtualMachineMonitor } from './machine.js';
import { type WorkspaceImages } from './workspace-image.js';

const PROBE_MEMORY_MB = 160;
const PROBE_DISK_MB = 1;
/** A guest that runs on hardware says hello in a second; one that hangs never does. */
const PROBE_TIMEOUT_MS: Readonly<Record<Accelerator, number>> = { kvm: 8_000, tcg: 60_000 };

/** Which accelerator was chosen, and why the better ones were not. */
export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  readonly notes: readonly string[];
}

export interface AcceleratorSearch {
  readonly monitor: VirtualMachineMonitor;
  readonly image: GuestImage;
  readonly workspaces: WorkspaceImages;
  readonly signal: AbortSignal;
}

/**
 * The best accelerator on which a guest really boots. Every candidate is tried by booting the real image up to
 * guest init's first word. Throws `backend_unavailable` when none works.
 */
export async function findAccelerator(search: AcceleratorSearch): Promise<AcceleratorChoice> {
  const notes: string[] = [];
  for (const accelerator of search.monitor.accelerators) {
    try {
      await bootGuest(search, accelerator);
      return { accelerator, notes };
    } catch (error) {
      const failure = asGlasshouseError(error, 'vmm_failed');
      if (failure.code === 'canceled') throw failure;
      notes.push(`no guest boots on ${accelerator} here: ${failure.message}`);
    }
  }
  throw new GlasshouseError(
    'backend_unavailable',
    `${search.monitor.name} cannot boot a guest: ${notes.join('; ')}`,
  );
}

/** The same, remembered in `file` for as long as `key` stays the same. */
export async function recallAccelerator(
  search: AcceleratorSearch,
  file: string,
  key: string,
): Promise<AcceleratorChoice> {
  const [only, ...others] = search.monitor.accelerators;
  // Emulation needs nothing of the machine: an execution finds out as much as a trial would.
  if (only === 'tcg' && others.length === 0) return { accelerator: only, notes: [] };
  return (await readChoice(file, key, search.monitor.accelerators)) ?? rememberAccelerator(search, file, key);
}

/** Tries afresh and remembers. */
export async function rememberAccelerator(
  search: AcceleratorSearch,
  file: string,
  key: string,
): Promise<AcceleratorChoice> {
  const choice = await findAccelerator(search);
  await writeFileAtomically(file, JSON.stringify({ key, ...choice }));
  return choice;
}

async function readChoice(
  file: string,
  key: string,
  candidates: readonly Accelerator[],
): Promise<AcceleratorChoice | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw asGlasshouseError(error);
  }
  try {
    const stored = JSON.parse(text) as Partial<AcceleratorChoice & { key: string }> | null;
    const accelerator = candidates.find((candidate) => candidate === stored?.accelerator);
    if (stored?.key !== key || accelerator === undefined || !Array.isArray(stored.notes)) return null;
    return { accelerator, notes: stored.notes.map(String) };
  } catch (error) {
    // A cache that cannot be read is a cache that is not there.
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

async function bootGuest(search: AcceleratorSearch, accelerator: Accelerator): Promise<void> {
  await using workspace = await search.workspaces.create(PROBE_DISK_MB);
  const machine = await search.monitor.launch({
    accelerator,
    memoryMb: PROBE_MEMORY_MB,
    cpus: 1,
    image: search.image,
    workspace,
    memory: { kind: 'own' },
  });
  const deadline = AbortSignal.timeout(PROBE_TIMEOUT_MS[accelerator]);
  try {
    await awaitHello(machine, AbortSignal.any([search.signal, deadline]));
  } catch (error) {
    await machine.destroy();
    if (search.signal.aborted)
      throw new GlasshouseError('canceled', 'The probe was canceled.', { cause: error });
    throw await explainSilence(machine, deadline.aborted ? PROBE_TIMEOUT_MS[accelerator] : null, error);
  } finally {
    await machine.destroy();
  }
}

async function awaitHello(machine: VirtualMachine, signal: AbortSignal): Promise<void> {
  const end = (): void => void machine.destroy();
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  try {
    const first = await new GuestConnection(machine.link).next();
    if (first === null) throw new GlasshouseError('guest_lost', 'the guest ended before it said hello');
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** `silentMs`: how long we waited before we gave up; null when the machine ended by itself. */
async function explainSilence(
  machine: VirtualMachine,
  silentMs: number | null,
  error: unknown,
): Promise<GlasshouseError> {
  const end = await machine.ended;
  const what = silentMs === null ? end.description : `no sign of life within ${silentMs / 1000} s`;
  const words = end.lastWords === '' ? '' : ` (last words: ${end.lastWords})`;
  return new GlasshouseError('vmm_failed', what + words, { cause: error });
}
