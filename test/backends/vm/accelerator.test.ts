import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { recallAccelerator } from '../../../src/backends/vm/accelerator.js';
import {
  type Accelerator,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../../../src/backends/vm/machine.js';
import { WorkspaceImages } from '../../../src/backends/vm/workspace-image.js';
import { GlasshouseError } from '../../../src/base/errors.js';
import { type GuestImage } from '../../../src/images/locate.js';
import { never, ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
const file = join(scratch.make('cache'), 'accelerator.json');
/** No guest is booted here, so nothing looks at it. */
const image = {} as GuestImage;

after(() => {
  scratch[Symbol.dispose]();
});

/** A monitor on which nothing boots, and that remembers what was tried. */
class HopelessMonitor implements VirtualMachineMonitor {
  readonly name = 'hopeless';
  readonly memoryKind = 'sealed';
  readonly overheadMb = 0;
  readonly hostFindings = (): readonly string[] => [];
  readonly gauges = (): readonly [] => [];
  readonly tried: Accelerator[] = [];
  readonly accelerators: readonly Accelerator[];

  constructor(accelerators: readonly Accelerator[]) {
    this.accelerators = accelerators;
  }

  inspect(): Promise<{ version: string; notes: string[] }> {
    return Promise.resolve({ version: '1', notes: [] });
  }

  freezeKey(): Promise<string> {
    return Promise.resolve('');
  }

  launchTemplate(): Promise<null> {
    return Promise.resolve(null);
  }

  launch(request: { accelerator: Accelerator }): Promise<VirtualMachine> {
    this.tried.push(request.accelerator);
    return Promise.reject(new GlasshouseError('vmm_failed', `${request.accelerator} is broken`));
  }
}

function recall(monitor: HopelessMonitor, key: string): ReturnType<typeof recallAccelerator> {
  const workspaces = new WorkspaceImages(scratch.make('spool'));
  return recallAccelerator({ monitor, image, workspaces, signal: never }, file, key);
}

describe('the choice of an accelerator', () => {
  it('is none when there is only one', async () => {
    const monitor = new HopelessMonitor(['tcg']);
    assert.deepEqual(await recall(monitor, 'key'), { accelerator: 'tcg', notes: [] });
    assert.deepEqual(monitor.tried, []);
  });

  it('is remembered for as long as the key stays the same', async () => {
    const stored = { key: 'key', accelerator: 'tcg', notes: ['no guest boots on kvm here'] };
    writeFileSync(file, JSON.stringify(stored));
    const monitor = new HopelessMonitor(['kvm', 'tcg']);
    assert.deepEqual(await recall(monitor, 'key'), { accelerator: 'tcg', notes: stored.notes });
    assert.deepEqual(monitor.tried, []);
    await assert.rejects(recall(monitor, 'another key'), { code: 'backend_unavailable' });
    assert.deepEqual(monitor.tried, ['kvm', 'tcg']);
  });

  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '3',
    '{"key":"key"}',
    '{"key":"key","accelerator":"xen","notes":[]}',
  ]) {
    it(`is made anew when the file says ${JSON.stringify(text)}`, async () => {
      writeFileSync(file, text);
      const monitor = new HopelessMonitor(['kvm', 'tcg']);
      await assert.rejects(recall(monitor, 'key'), (error: GlasshouseError) => {
        assert.equal(error.code, 'backend_unavailable');
        assert.match(error.message, /kvm is broken.*tcg is broken/);
        return true;
      });
      assert.equal(await readFile(file, 'utf8'), text, 'a failure is not remembered');
    });
  }
});
