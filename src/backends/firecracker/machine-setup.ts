import { guestKernelParameters } from '../vm/kernel-parameters.js';
import { type MachineShape } from '../vm/machine.js';
import {
  type Action,
  addDrive,
  addEntropy,
  addVsock,
  configureLogger,
  configureMachine,
  configureMetrics,
  loadSnapshot,
  type RateLimiter,
  setBootSource,
  startInstance,
} from './api-actions.js';
import { deviceRates } from './device-rates.js';
import { overridesVsock, type ProgramVersion } from './versions.js';

/** Names in the directory that Firecracker runs in. */
export const FILES = {
  api: 'api.sock',
  vsock: 'vsock.sock',
  log: 'log.pipe',
  metrics: 'metrics.pipe',
  kernel: 'kernel',
  initramfs: 'initramfs',
  root: 'root-disk',
  workspace: 'workspace-disk',
  memory: 'memory',
  state: 'state',
} as const;

/** Each machine has its own vsock: what a guest is called there tells it apart from nothing. */
const GUEST_CID = 3;

/**
 * Guest init is told that it is reached over vsock. reboot=k ends the machine through the keyboard controller, which
 * is the reset that Firecracker knows. There is no clock and no keyboard to look for.
 */
const BOOT_ARGUMENTS = [
  ...guestKernelParameters('k', ['cmos_init', 'i8042_init']),
  // A clone that waits stands still without being told: its kernel would take that for a processor that hangs.
  'nosoftlockup',
  'rcupdate.rcu_cpu_stall_suppress=1',
  'glasshouse_link=vsock',
].join(' ');

/** Before anything else: what goes wrong with the rest is in the log then. */
export function reportActions(): readonly Action[] {
  return [
    configureLogger({ log_path: FILES.log, level: 'Warning', show_level: true }),
    configureMetrics({ metrics_path: FILES.metrics }),
  ];
}

/** A machine that boots the guest image: root read-only, workspace read-write, no network, no balloon. */
export function* bootActions(shape: MachineShape): Generator<Action, void> {
  const { cpus, memoryMb } = shape;
  const rates = deviceRates(shape);
  yield configureMachine({
    vcpu_count: cpus,
    mem_size_mib: memoryMb,
    smt: false,
    track_dirty_pages: false,
  });
  yield setBootSource({
    kernel_image_path: FILES.kernel,
    initrd_path: FILES.initramfs,
    boot_args: BOOT_ARGUMENTS,
  });
  yield drive('root', FILES.root, true, rates.root);
  yield drive('workspace', FILES.workspace, false, rates.workspace);
  yield addVsock({ guest_cid: GUEST_CID, uds_path: FILES.vsock });
  yield addEntropy({ rate_limiter: { bandwidth: rates.entropy } });
  yield startInstance();
}

/**
 * A machine that goes on where another was frozen; its configuration, with its rates, is part of the state. A path in it
 * is not to decide where we look for a socket, wherever Firecracker lets us say so.
 */
export function cloneAction(version: ProgramVersion): Action {
  return loadSnapshot({
    snapshot_path: FILES.state,
    mem_file_path: FILES.memory,
    resume_vm: true,
    vsock_path: overridesVsock(version) ? FILES.vsock : null,
  });
}

/** The workspace dies with the machine: nothing in it needs to survive a power cut. */
function drive(id: string, file: string, isReadOnly: boolean, rates: RateLimiter): Action {
  return addDrive({
    drive_id: id,
    path_on_host: file,
    is_root_device: false,
    is_read_only: isReadOnly,
    cache_type: 'Unsafe',
    io_engine: 'Sync',
    rate_limiter: rates,
  });
}
