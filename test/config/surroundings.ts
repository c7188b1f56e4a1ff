import { type Surroundings } from '../../src/config/setting.js';

/** A machine with four CPUs, 8 GiB of memory and an ordinary user whose environment is empty. */
export function surroundings(changes: Partial<Surroundings> = {}): Surroundings {
  return {
    environment: {},
    homeDirectory: '/home/ada',
    isRoot: false,
    cpuCount: 4,
    memoryMb: 8192,
    packageRoot: '/opt/glasshouse',
    workingDirectory: '/work',
    ...changes,
  };
}
