import { guestKernelParameters } from '../vm/kernel-parameters.js';
import { type MachineShape } from '../vm/machine.js';
import {
  type Action,
  addDrive,
  addEntropy,
  addVsock,
  configureMachine,
  loadSnapshot,
  setBootSource,
  startInstance,
} from './api-actions.js';

/** Names in the directory that Firecracker runs in. */
export const FILES = {
  api: 'api.sock',
  vsock: 'vsock.sock',
  kernel: 'kernel',
  initramfs: 'initramfs',
  root: 'root-disk',
  workspace: 'workspace-disk',
  memory: 'memory',
  state: 'state',
} as const;

/** Each machine has its own vsock: what a guest is called there tells it apart from nothing. */
const GUEST_CID = 3;
/** Entropy that a guest may draw: its kernel needs some hundred bytes, and a program shall not keep the host busy. */
const ENTROPY_BUCKET = { size: 65_536, refill_time: 1_000 };

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

/** A machine that boots the guest image: root read-only, workspace read-write, no network, no balloon. */
export function* bootActions({ cpus, memoryMb }: MachineShape): Generator<Action, void> {
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
  yield drive('root', FILES.root, true);
  yield drive('workspace', FILES.workspace, false);
  yield addVsock({ guest_cid: GUEST_CID, uds_path: FILES.vsock });
  yield addEntropy({ rate_limiter: { bandwidth: ENTROPY_BUCKET } });
  yield startInstance();
}

/** A machine that goes on where another was frozen; its configuration is part of the state. */
export function cloneAction(): Action {
  return loadSnapshot({ snapshot_path: FILES.state, mem_file_path: FILES.memory, resume_vm: true });
}

/** The workspace dies with the machine: nothing in it needs to survive a power cut. */
function drive(id: string, file: string, isReadOnly: boolean): Action {
  return addDrive({
    drive_id: id,
    path_on_host: file,
    is_root_device: false,
    is_read_only: isReadOnly,
    cache_type: 'Unsafe',
    io_engine: 'Sync',
  });
}
