import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import fc from 'fast-check';

import {
  type Action,
  addDrive,
  addEntropy,
  addVsock,
  changeState,
  configureLogger,
  configureMachine,
  createSnapshot,
  flushMetrics,
  setBootSource,
  startInstance,
} from '../../../src/backends/firecracker/api-actions.js';
import { type FirecrackerApi } from '../../../src/backends/firecracker/api-client.js';
import {
  bootActions,
  cloneAction,
  FILES,
  reportActions,
} from '../../../src/backends/firecracker/machine-setup.js';
import { type ProgramVersion, versionOf } from '../../../src/backends/firecracker/versions.js';
import { COUNTERS, MachineMetrics, MetricsTally } from '../../../src/backends/firecracker/metrics.js';
import { asGlasshouseError } from '../../../src/base/errors.js';
import { ScratchDirectory } from '../../contract/subject.js';
import { FIRECRACKER, skipWithoutFirecracker as skip } from './firecracker-binary.js';
import { RealApi } from './real-api.js';

const scratch = new ScratchDirectory();
let apis = 0;
after(() => {
  scratch[Symbol.dispose]();
});

/** In a directory with files that a machine needs. */
async function startApi(): Promise<RealApi> {
  const directory = scratch.make(`api-${(apis += 1)}`);
  for (const file of [FILES.kernel, FILES.initramfs, FILES.root, FILES.workspace]) {
    writeFileSync(join(directory, file), 'no kernel, no disk');
    truncateSync(join(directory, file), 4096);
  }
  return RealApi.start(directory);
}

/** What Firecracker says of an action: null when it takes it. */
async function verdict(api: FirecrackerApi, action: Action): Promise<string | null> {
  try {
    await api.perform(action);
    return null;
  } catch (error) {
    return asGlasshouseError(error).message;
  }
}

async function version(): Promise<ProgramVersion> {
  return versionOf('Firecracker', FIRECRACKER ?? '');
}

/** What its parser says of a body that it does not know, in any of its words. */
const NOT_UNDERSTOOD =
  /unknown field|missing field|invalid type|unknown variant|deserializ|Invalid request method/i;

const drive = addDrive({
  drive_id: 'root',
  path_on_host: FILES.root,
  is_root_device: false,
  is_read_only: true,
  cache_type: 'Unsafe',
  io_engine: 'Sync',
  rate_limiter: { bandwidth: { size: 1, refill_time: 1 }, ops: { size: 1, refill_time: 1 } },
});

describe('every action, before a real Firecracker', { skip, timeout: 120_000 }, () => {
  it('is taken where it only prepares a machine, in the order in which we send it', async () => {
    await using real = await startApi();
    const shape = { accelerator: 'kvm', memoryMb: 224, cpus: 1, diskMb: 64 } as const;
    const preparing = [...reportActions(), ...[...bootActions(shape)].slice(0, -1)];
    for (const action of preparing) assert.equal(await verdict(real.api, action), null, action.path);
    assert.equal(preparing.length, 8);
  });

  it('is understood, also where it comes too early to be done', async () => {
    const early: readonly Action[] = [
      startInstance(),
      changeState('Paused'),
      changeState('Resumed'),
      createSnapshot({ snapshot_path: FILES.state, mem_file_path: FILES.memory }),
      cloneAction(await version()),
      flushMetrics(),
    ];
    for (const action of early) {
      await using real = await startApi();
      const refusal = await verdict(real.api, action);
      assert.ok(refusal !== null, `${action.path} cannot be done here`);
      assert.doesNotMatch(refusal, NOT_UNDERSTOOD);
      assert.match(refusal, /Firecracker refused|it has ended/);
    }
  });

  it('is not understood with a field too many: this judge sees what it is asked', async () => {
    await using real = await startApi();
    const actions: readonly Action[] = [
      configureMachine({ vcpu_count: 1, mem_size_mib: 128, smt: false, track_dirty_pages: false }),
      setBootSource({ kernel_image_path: FILES.kernel, initrd_path: FILES.initramfs, boot_args: '' }),
      drive,
      addVsock({ guest_cid: 3, uds_path: FILES.vsock }),
      addEntropy({ rate_limiter: { bandwidth: { size: 1, refill_time: 1 } } }),
      changeState('Paused'),
      createSnapshot({ snapshot_path: FILES.state, mem_file_path: FILES.memory }),
      cloneAction(await version()),
      configureLogger({ log_path: FILES.log, level: 'Warning', show_level: true }),
      // Not configureMetrics(): up to 1.15, what else there is in that request is passed over.
      flushMetrics(),
    ];
    for (const action of actions) {
      const refusal = await verdict(real.api, { ...action, body: { ...action.body, glasshouse: 1 } });
      assert.match(refusal ?? 'taken', /unknown field `glasshouse`/, action.path);
    }
  });

  it('has every number that we count in the metrics that it then writes', async () => {
    await using real = await startApi();
    for (const action of reportActions()) await real.api.perform(action);
    // The last line is written at the end, when that comes by a signal that can be caught.
    await real.end('SIGHUP');
    const line = readFileSync(join(real.directory, FILES.metrics), 'utf8');
    const metrics = JSON.parse(line) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    for (const { name, source } of COUNTERS)
      assert.equal(typeof metrics[source.group]?.[source.field], 'number', name);
    const tally = new MetricsTally();
    assert.ok(new MachineMetrics(tally).take(Buffer.from(line)));
    assert.ok(tally.gauges().every(({ value }) => value === 0));
  });

  it('is taken or refused in words for every size of a machine', async () => {
    await using real = await startApi();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 0, max: 1 << 20 }),
        async (cpus, memoryMb) => {
          const action = configureMachine({
            vcpu_count: cpus,
            mem_size_mib: memoryMb,
            smt: false,
            track_dirty_pages: false,
          });
          const refusal = await verdict(real.api, action);
          if (cpus >= 1 && cpus <= 32 && memoryMb >= 1) assert.equal(refusal, null);
          else assert.match(refusal ?? 'taken', /Firecracker refused PUT \/machine-config \(400\)/);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('carries any path and any arguments unharmed', async () => {
    await using real = await startApi();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async (text) => {
        const absent = { ...drive, body: { ...drive.body, path_on_host: `absent/${text}` } };
        assert.doesNotMatch((await verdict(real.api, absent)) ?? '', NOT_UNDERSTOOD);
      }),
      { numRuns: 50 },
    );
  });

  it('names the file that it cannot open', async () => {
    await using real = await startApi();
    const action = setBootSource({
      kernel_image_path: 'no-such-kernel',
      initrd_path: FILES.initramfs,
      boot_args: '',
    });
    assert.match((await verdict(real.api, action)) ?? '', /kernel.*No such file or directory/i);
  });
});
