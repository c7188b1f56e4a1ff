import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { systemErrorCode } from '../../base/errors.js';
import { whyNoCgroups } from './jail.js';

const VULNERABILITIES = 'sys/devices/system/cpu/vulnerabilities';

/**
 * What Firecracker's guide for production hosts (docs/prod-host-setup.md) asks of a host, held against this one: a line
 * each that begins with `ok` or `change`. `root` is where the host's /proc and /sys are.
 */
export function hostFindings(root = '/'): readonly string[] {
  const read = (file: string): string | null => readText(path.join(root, file));
  return [
    swap(read('proc/swaps')),
    simultaneousThreads(read('sys/devices/system/cpu/smt/active')),
    samepageMerging(read('sys/kernel/mm/ksm/run')),
    nestedPaging(read('sys/module/kvm_intel/parameters/ept'), read('sys/module/kvm_amd/parameters/npt')),
    hugePages(read('sys/module/kvm/parameters/nx_huge_pages'), read(`${VULNERABILITIES}/itlb_multihit`)),
    mitigations(path.join(root, VULNERABILITIES)),
    controlGroups(path.join(root, 'sys/fs/cgroup')),
  ];
}

function swap(swaps: string | null): string {
  const areas = (swaps ?? '').trim().split('\n').slice(1);
  return areas.length === 0
    ? 'ok: no swap'
    : 'change: swap is on, so memory of guests may stay on a disk; "swapoff -a" turns it off';
}

function simultaneousThreads(active: string | null): string {
  return active === '1'
    ? 'change: SMT is on, so two guests may share a core and what it leaks; "echo off > /sys/devices/system/cpu/smt/control", or the kernel parameter nosmt'
    : 'ok: no SMT';
}

function samepageMerging(run: string | null): string {
  return run === '1'
    ? 'change: KSM merges pages, which tells one guest what another has; "echo 2 > /sys/kernel/mm/ksm/run"'
    : 'ok: no KSM';
}

function nestedPaging(ept: string | null, npt: string | null): string {
  const value = ept ?? npt;
  if (value === null)
    return 'change: neither kvm_intel nor kvm_amd says whether it uses nested paging; "modprobe" the one for this processor';
  return /^[Y1]$/.test(value)
    ? 'ok: nested paging'
    : 'change: KVM runs without nested paging (ept, npt), which is slow and rarely tested';
}

/** Since Linux 6.1 the mitigation of a fault that most processors do not have makes the start of a machine slow. */
function hugePages(setting: string | null, multihit: string | null): string {
  return setting !== null && setting !== 'never' && multihit === 'Not affected'
    ? 'change: KVM guards against iTLB multihit, which this processor does not have, at the cost of slow starts; load kvm with nx_huge_pages=never'
    : 'ok: huge pages of KVM';
}

function mitigations(directory: string): string {
  const open = listNames(directory).filter((name) =>
    (readText(path.join(directory, name)) ?? '').includes('Vulnerable'),
  );
  return open.length === 0
    ? 'ok: the kernel knows no processor vulnerability without a mitigation'
    : `change: processor vulnerabilities without a mitigation: ${open.sort().join(', ')}; update kernel and microcode`;
}

function controlGroups(directory: string): string {
  const missing = whyNoCgroups(directory);
  return missing === null ? 'ok: cgroup v2 limits' : `change: ${missing}`;
}

/** Null when there is none, or none that may be read. */
function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (systemErrorCode(error) === null) throw error;
    return null;
  }
}

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (systemErrorCode(error) === null) throw error;
    return [];
  }
}
