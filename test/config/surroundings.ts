import { type Surroundings } from '../../src/config/setting.js';

/** A machine with four CPUs and an ordinary user whose environment is empty. */
export function surroundings(changes: Partial<Surroundings> = {}): Surroundings {
  return {
    environment: {},
    homeDirectory: '/home/ada',
    isRoot: false,
    cpuCount: 4,
    packageRoot: '/opt/glasshouse',
    workingDirectory: '/work',
    ...changes,
  };
}
