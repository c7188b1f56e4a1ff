import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';

import { kernelCommandLine, qemuArguments } from '../../../src/backends/qemu/command-line.js';
import { hostTscKhz, parseCpuKhz } from '../../../src/backends/qemu/host-tsc.js';
import { runToCompletion } from '../../../src/base/child-process.js';

const BINARY = 'qemu-system-x86_64';
const missing = await runToCompletion(BINARY, ['--version']).then(
  () => null,
  () => `${BINARY} is not installed`,
);

describe('the arguments of QEMU', { skip: missing ?? false }, () => {
  it('are all understood: a machine without kernel and disks gets as far as loading them', async () => {
    const args = qemuArguments({
      accelerator: 'tcg',
      memory: 'own',
      memoryMb: 64,
      cpus: 2,
      tscKhz: 2_000_000,
      confinesItself: true,
    });
    await using nothing = await open('/dev/null', 'r+');
    const child = spawn(BINARY, args, {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', nothing.fd, nothing.fd, nothing.fd, nothing.fd],
      env: {},
    });
    let words = '';
    child.stderr?.on('data', (chunk: Buffer) => (words += chunk.toString()));
    await once(child, 'close');
    // /dev/null stands for the kernel and the disks: everything before the kernel was accepted.
    assert.doesNotMatch(words, /invalid|unknown|not supported|unsupported|deprecated/i, words);
    assert.match(words, /kernel|fdset/i, words);
  });

  it('give KVM the host processor and no second interrupt controller', () => {
    const args = qemuArguments({
      accelerator: 'kvm',
      memory: 'own',
      memoryMb: 64,
      cpus: 1,
      tscKhz: null,
      confinesItself: true,
    }).join(' ');
    assert.match(args, /-accel kvm -cpu host/);
    assert.match(args, /ioapic2=off/);
  });

  it('let an emulator start processes only when others confine it', () => {
    const shape = { accelerator: 'tcg', memory: 'clone', memoryMb: 64, cpus: 1, tscKhz: null } as const;
    assert.match(qemuArguments({ ...shape, confinesItself: true }).join(' '), /-sandbox on,.*spawn=deny/);
    assert.doesNotMatch(qemuArguments({ ...shape, confinesItself: false }).join(' '), /sandbox/);
  });

  it('name no file of ours', () => {
    for (const accelerator of ['kvm', 'tcg'] as const) {
      const shape = { memory: 'own', memoryMb: 64, cpus: 1, tscKhz: null } as const;
      const args = qemuArguments({ ...shape, accelerator, confinesItself: true });
      const paths = args.flatMap((arg) => arg.match(/(?:^|=)\/[^,]*/g) ?? []);
      assert.deepEqual(
        paths.filter((path) => !/^=?\/(?:dev\/fdset|proc\/self\/fd)\/\d+$/.test(path)),
        [],
      );
    }
  });
});

describe('the kernel command line', () => {
  it('gives the frequency of the time stamp counter where it is emulated and known', () => {
    const line = (accelerator: 'kvm' | 'tcg', tscKhz: number | null): string =>
      kernelCommandLine({ accelerator, tscKhz });
    assert.match(line('tcg', 2_100_000), /\btsc_early_khz=2100000\b/);
    assert.doesNotMatch(line('tcg', null), /tsc/);
    assert.doesNotMatch(line('kvm', 2_100_000), /tsc/);
  });

  it('turns a panic into the end of the machine', () => {
    assert.match(kernelCommandLine({ accelerator: 'tcg', tscKhz: null }), /\bpanic=-1\b/);
  });
});

describe('the frequency of the time stamp counter', () => {
  it('is known on this machine, or honestly not', async () => {
    const frequency = await hostTscKhz();
    assert.ok(frequency === null || (frequency > 100_000 && frequency < 20_000_000), String(frequency));
  });

  for (const [text, expected] of [
    ['cpu MHz\t\t: 2095.078\n', 2_095_078],
    ['processor: 0\ncpu MHz : 3000\ncpu MHz : 1000\n', 3_000_000],
    ['model name : x\n', null],
    ['cpu MHz : 0.000\n', null],
    ['cpu MHz : fast\n', null],
    ['', null],
  ] as const) {
    it(`of ${JSON.stringify(text)} is ${String(expected)}`, () => {
      assert.equal(parseCpuKhz(text), expected);
    });
  }
});
