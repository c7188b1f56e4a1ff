import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { hostFindings } from '../../../src/backends/firecracker/host-guide.js';
import {
  boundsSwap,
  freeCommand,
  jailedCommand,
  whyNoCgroups,
} from '../../../src/backends/firecracker/jail.js';
import { ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const OPTIONS = {
  jailer: '/opt/jailer',
  firecracker: '/opt/firecracker',
  base: '/data/cells',
  name: '1-2-boot-3',
  user: 1_900_000_001,
  shape: { accelerator: 'kvm', memoryMb: 224, cpus: 2, diskMb: 64 },
  fileBytes: 64,
  hasCgroups: true,
  boundsSwap: true,
} as const;

describe('the command of a jailed Firecracker', () => {
  const command = jailedCommand(OPTIONS);
  const valueOf = (flag: string): string | undefined => command[command.indexOf(flag) + 1];

  it('has a user and a group of its own, and bounds', () => {
    assert.equal(command[0], '/opt/jailer');
    assert.deepEqual([valueOf('--uid'), valueOf('--gid')], ['1900000001', '1900000001']);
    assert.ok(command.includes(`fsize=${224 * 1024 * 1024}`));
    assert.ok(command.includes('no-file=256'));
    assert.ok(command.includes('cpu.max=300000 100000'));
    assert.ok(command.includes(`memory.max=${(224 + 64) * 1024 * 1024}`));
    assert.ok(command.includes('memory.swap.max=0'));
    assert.ok(command.includes('pids.max=64'));
  });

  it('never turns the filter of system calls off, with a jail and without', () => {
    for (const word of [...command, ...freeCommand('/opt/firecracker', 'x')])
      assert.doesNotMatch(word, /seccomp/);
  });

  it('does not ask for a bound on swap where the kernel has none', () => {
    const without = jailedCommand({ ...OPTIONS, boundsSwap: false });
    assert.deepEqual(
      command.filter((word) => !without.includes(word)),
      ['memory.swap.max=0'],
    );
  });

  it('asks for no cgroup where there is none', () => {
    const without = jailedCommand({ ...OPTIONS, hasCgroups: false });
    assert.ok(!without.some((word) => word.includes('cgroup')));
    assert.deepEqual(without.slice(-5), ['--', '--api-sock', 'api.sock', '--level', 'Warning']);
  });
});

/** A hierarchy of files as a host has it in /proc and /sys. */
function hostWith(files: Readonly<Record<string, string>>): string {
  const root = scratch.make(`host-${Object.keys(files).length}-${JSON.stringify(files).length}`);
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(root, file, '..'), { recursive: true });
    writeFileSync(join(root, file), content);
  }
  return root;
}

describe('cgroups', () => {
  it('bound swap where those of machines have the file for it', () => {
    assert.ok(boundsSwap(hostWith({ 'glasshouse/memory.swap.max': 'max\n' })));
    assert.ok(!boundsSwap(hostWith({ 'glasshouse/memory.max': 'max\n' })));
  });

  it('are used where their controllers are enabled', () => {
    const root = hostWith({ 'cgroup.subtree_control': 'cpuset cpu io memory pids\n' });
    assert.equal(whyNoCgroups(root), null);
  });

  it('are not used where one is missing, or all of them', () => {
    assert.match(whyNoCgroups(hostWith({ 'cgroup.subtree_control': 'cpu\n' })) ?? '', /memory, pids/);
    assert.match(whyNoCgroups('/no/such/place') ?? '', /no hierarchy/);
  });
});

describe('the guide for hosts', () => {
  it('finds nothing to change on a host that follows it', () => {
    const findings = hostFindings(
      hostWith({
        'proc/swaps': 'Filename Type Size Used Priority\n',
        'sys/devices/system/cpu/smt/active': '0\n',
        'sys/kernel/mm/ksm/run': '0\n',
        'sys/module/kvm_amd/parameters/npt': 'Y\n',
        'sys/module/kvm/parameters/nx_huge_pages': 'never\n',
        'sys/devices/system/cpu/vulnerabilities/itlb_multihit': 'Not affected\n',
        'sys/fs/cgroup/cgroup.subtree_control': 'cpu memory pids\n',
      }),
    );
    assert.deepEqual(
      findings.filter((line) => !line.startsWith('ok: ')),
      [],
    );
    assert.equal(findings.length, 7);
  });

  it('finds everything on a host that does not', () => {
    const findings = hostFindings(
      hostWith({
        'proc/swaps': 'Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n',
        'sys/devices/system/cpu/smt/active': '1\n',
        'sys/kernel/mm/ksm/run': '1\n',
        'sys/module/kvm_intel/parameters/ept': 'N\n',
        'sys/module/kvm/parameters/nx_huge_pages': 'auto\n',
        'sys/devices/system/cpu/vulnerabilities/itlb_multihit': 'Not affected\n',
        'sys/devices/system/cpu/vulnerabilities/mds': 'Vulnerable: no microcode\n',
        'sys/fs/cgroup/cgroup.controllers': 'cpu\n',
      }),
    );
    assert.deepEqual(
      findings.filter((line) => !line.startsWith('change: ')),
      [],
    );
    assert.match(
      findings.join('\n'),
      /swapoff[^]*SMT[^]*KSM[^]*nested paging[^]*nx_huge_pages[^]*mds[^]*cgroup/,
    );
  });

  it('says something on every host', () => {
    for (const line of hostFindings()) assert.match(line, /^(ok|change): /);
  });
});
