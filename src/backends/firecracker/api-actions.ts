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
/** Nobody waits for the numbers of a machine that has done its work. */
const METRICS_MS = 1_000;

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
  readonly rate_limiter: RateLimiter;
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

/**
 * Full at first. What is spent comes back within `refill_time`, in milliseconds, and all at once where it was idle longer:
 * that is only looked at when a bucket is empty (src/vmm/src/rate_limiter/mod.rs).
 */
export interface TokenBucket {
  readonly size: number;
  readonly refill_time: number;
}

export interface RateLimiter {
  /** In bytes. */
  readonly bandwidth: TokenBucket;
  /** In requests. */
  readonly ops: TokenBucket;
}

export interface EntropyDevice {
  readonly rate_limiter: { readonly bandwidth: TokenBucket };
}

/** Over a file or a pipe, for which Firecracker does not wait. */
export interface Logger {
  readonly log_path: string;
  readonly level: 'Warning';
  readonly show_level: boolean;
}

export interface Metrics {
  readonly metrics_path: string;
}

export interface SnapshotFiles {
  readonly snapshot_path: string;
  readonly mem_file_path: string;
}

export interface SnapshotSource {
  readonly snapshot_path: string;
  readonly mem_file_path: string;
  readonly resume_vm: boolean;
  /** Where the clone listens for its guest's connections; null: where the machine did that was frozen. */
  readonly vsock_path: string | null;
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

export function configureLogger(body: Logger): Action {
  return { method: 'PUT', path: '/logger', body, timeoutMs: ANSWER_MS };
}

/** From here on a line a minute is written, and one when flushMetrics() asks for it. */
export function configureMetrics(body: Metrics): Action {
  return { method: 'PUT', path: '/metrics', body, timeoutMs: ANSWER_MS };
}

export function flushMetrics(): Action {
  return { method: 'PUT', path: '/actions', body: { action_type: 'FlushMetrics' }, timeoutMs: METRICS_MS };
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
    ...(source.vsock_path === null ? {} : { vsock_override: { uds_path: source.vsock_path } }),
  };
  return { method: 'PUT', path: '/snapshot/load', body, timeoutMs: START_MS };
}
