import { readFile } from 'node:fs/promises';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { writeFileAtomically } from '../../base/atomic-file.js';
import { GuestConnection } from '../../guest-link/connection.js';
import { type GuestImage } from '../../images/locate.js';
import { BootDeadline } from './boot-deadline.js';
import {
  type Accelerator,
  type MachineRequest,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from './machine.js';
import { type WorkspaceImages } from './workspace-image.js';

const PROBE_MEMORY_MB = 160;
const PROBE_DISK_MB = 1;
/** A guest that runs on hardware says hello in a second; one that hangs never does, and its kernel prints nothing. */
const SILENCE_MS: Readonly<Record<Accelerator, number>> = { kvm: 8_000, tcg: 60_000 };
/** For a guest whose kernel runs, on a machine that is slow or has much to do. */
const BOOT_MS = 60_000;

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
  using deadline = new BootDeadline(search.signal, BOOT_MS);
  const request: MachineRequest = {
    accelerator,
    memoryMb: PROBE_MEMORY_MB,
    cpus: 1,
    diskMb: PROBE_DISK_MB,
    image: search.image,
    workspace,
    memory: { kind: 'own' },
  };
  const machine = await search.monitor.launch(request, deadline);
  using patience = new Patience(machine, SILENCE_MS[accelerator]);
  try {
    await awaitHello(machine, AbortSignal.any([search.signal, patience.signal]));
  } catch (error) {
    await machine.destroy();
    if (search.signal.aborted)
      throw new GlasshouseError('canceled', 'The probe was canceled.', { cause: error });
    throw await explainSilence(machine, patience.lost, error);
  } finally {
    await machine.destroy();
  }
}

/** How long a trial waits for hello: briefly for a guest of which nothing is heard at all. */
class Patience implements Disposable {
  readonly #ended = new AbortController();
  #timer: NodeJS.Timeout;
  /** Why it ended; null while it lasts. */
  lost: string | null = null;

  constructor(machine: VirtualMachine, silenceMs: number) {
    this.#timer = setTimeout(() => {
      if (!machine.hasSpoken()) {
        this.#lose(`no sign of life within ${silenceMs / 1000} s`);
        return;
      }
      const end = this.#lose.bind(
        this,
        `its kernel ran, but did not come to hello within ${BOOT_MS / 1000} s`,
      );
      this.#timer = setTimeout(end, BOOT_MS - silenceMs);
    }, silenceMs);
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #lose(why: string): void {
    this.lost = why;
    this.#ended.abort();
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

/** `lost`: why we gave up; null when the machine ended by itself. */
async function explainSilence(
  machine: VirtualMachine,
  lost: string | null,
  error: unknown,
): Promise<GlasshouseError> {
  const end = await machine.ended;
  const what = lost ?? end.description;
  const words = end.lastWords === '' ? '' : ` (last words: ${end.lastWords})`;
  return new GlasshouseError('vmm_failed', what + words, { cause: error });
}
