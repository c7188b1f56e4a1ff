import { readFile, stat } from 'node:fs/promises';

import { systemErrorCode } from '../../base/errors.js';

const SCALING_DIRECTORY = '/sys/devices/system/cpu/cpu0/cpufreq';

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** The frequency in kHz from the text of /proc/cpuinfo; null when it names none. */
export function parseCpuKhz(cpuinfo: string): number | null {
  const match = /^cpu MHz\s*:\s*(\d+(?:\.\d+)?)$/m.exec(cpuinfo);
  const megahertz = Number(match?.[1] ?? Number.NaN);
  return Number.isFinite(megahertz) && megahertz > 0 ? Math.round(megahertz * 1000) : null;
}

/**
 * The frequency of the host's time stamp counter in kHz, which is also the guest's under TCG. Where the
 * processor scales its clock, `cpu MHz` is the momentary one, so the nominal one is taken; the guest's clock
 * then runs as wrong as that is. Null when nothing is known.
 */
export async function hostTscKhz(): Promise<number | null> {
  for (const name of ['base_frequency', 'cpuinfo_max_freq']) {
    const file = `${SCALING_DIRECTORY}/${name}`;
    if (await exists(file)) return Number((await readFile(file, 'utf8')).trim()) || null;
  }
  return parseCpuKhz(await readFile('/proc/cpuinfo', 'utf8'));
}
