/**
 * What Glasshouse asks of Firecracker's API (its OpenAPI description, src/firecracker/swagger/firecracker.yaml): one
 * type and one function for each action. All paths are relative to the directory that Firecracker runs in, jailed or
 * not, so that a frozen machine finds its files again in another one.
 */

/** Answers of a process that has nothing else to do. */
const ANSWER_MS = 10_000;
/** Starting maps memory and makes virtual CPUs; loading does both and reads a file. */
const START_MS = 30_000;
/** All memory of a guest is written to disk. */
const FREEZE_MS = 120_000;

/** One request that changes something. */
export interface Action {
  readonly method: 'PUT' | 'PATCH';
  readonly path: string;
  readonly body: object;
  /** Within which the answer must be there, in milliseconds. */
  readonly timeoutMs: number;
}

export interface MachineConfiguration {
  readonly vcpu_count: number;
  readonly mem_size_mib: number;
  readonly smt: boolean;
  readonly track_dirty_pages: boolean;
}

export interface BootSource {
  readonly kernel_image_path: string;
  readonly initrd_path: string;
  readonly boot_args: string;
}

export interface Drive {
  readonly drive_id: string;
  readonly path_on_host: string;
  readonly is_root_device: boolean;
  readonly is_read_only: boolean;
  readonly cache_type: 'Unsafe';
  readonly io_engine: 'Sync';
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

export interface TokenBucket {
  readonly size: number;
  readonly refill_time: number;
}

export interface EntropyDevice {
  readonly rate_limiter: { readonly bandwidth: TokenBucket };
}

export interface SnapshotFiles {
  readonly snapshot_path: string;
  readonly mem_file_path: string;
}

export interface SnapshotSource {
  readonly snapshot_path: string;
  readonly mem_file_path: string;
  readonly resume_vm: boolean;
}

export function configureMachine(body: MachineConfiguration): Action {
  return { method: 'PUT', path: '/machine-config', body, timeoutMs: ANSWER_MS };
}

export function setBootSource(body: BootSource): Action {
  return { method: 'PUT', path: '/boot-source', body, timeoutMs: ANSWER_MS };
}

export function addDrive(body: Drive): Action {
  return { method: 'PUT', path: `/drives/${body.drive_id}`, body, timeoutMs: ANSWER_MS };
}

export function addVsock(body: Vsock): Action {
  return { method: 'PUT', path: '/vsock', body, timeoutMs: ANSWER_MS };
}

export function addEntropy(body: EntropyDevice): Action {
  return { method: 'PUT', path: '/entropy', body, timeoutMs: ANSWER_MS };
}

export function startInstance(): Action {
  return { method: 'PUT', path: '/actions', body: { action_type: 'InstanceStart' }, timeoutMs: START_MS };
}

export function changeState(state: 'Paused' | 'Resumed'): Action {
  return { method: 'PATCH', path: '/vm', body: { state }, timeoutMs: ANSWER_MS };
}

export function createSnapshot(files: SnapshotFiles): Action {
  const body = { snapshot_type: 'Full', ...files };
  return { method: 'PUT', path: '/snapshot/create', body, timeoutMs: FREEZE_MS };
}

/**
 * The guest's clock goes on from where it was frozen: each description that guest init takes sets the time anew, which
 * is why `clock_realtime` stays off.
 */
export function loadSnapshot(source: SnapshotSource): Action {
  const body = {
    snapshot_path: source.snapshot_path,
    mem_backend: { backend_type: 'File', backend_path: source.mem_file_path },
    resume_vm: source.resume_vm,
  };
  return { method: 'PUT', path: '/snapshot/load', body, timeoutMs: START_MS };
}
