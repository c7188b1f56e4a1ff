import { availableParallelism, homedir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GlasshouseError } from '../base/errors.js';
import { type Setting, type SettingValue, type Surroundings, camelCase } from './setting.js';
import { type Configuration, SETTINGS, SETTING_NAMES, type SettingName } from './settings.js';
import {
  CONFIG_VARIABLE,
  type PartialValues,
  readConfigFile,
  readEnvironment,
  readFlags,
} from './sources.js';

export interface ConfigurationSources {
  /** Texts of the flags that were given, keyed by setting name (`data_dir` for `--data-dir`). */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>;
  /** The value of `--config`; null when it was not given. */
  readonly configFile: string | null;
  readonly surroundings: Surroundings;
}

const BYTES_PER_MIB = 1024 * 1024;

/** Pairs of settings where the first must not be above the second. */
const ORDERED: readonly (readonly [SettingName, SettingName])[] = [
  ['default_timeout_ms', 'max_timeout_ms'],
  ['default_memory_mb', 'max_memory_mb'],
  ['default_memory_mb', 'max_total_memory_mb'],
  ['default_cpus', 'max_cpus'],
  ['default_disk_mb', 'max_disk_mb'],
  ['default_pids', 'max_pids'],
  ['default_output_bytes', 'max_output_bytes'],
];

/**
 * Resolves every setting once: flags win over environment variables, those over the file, that over defaults.
 * The file is `--config`, else GLASSHOUSE_CONFIG, else `config.json` in the data directory if it exists.
 * @returns a deeply frozen object with nothing left open.
 * @throws GlasshouseError configuration_invalid, naming the source of the bad value.
 */
export function loadConfiguration(sources: ConfigurationSources): Configuration {
  const { surroundings } = sources;
  const stated = { ...readEnvironment(surroundings), ...readFlags(sources.flags, surroundings) };
  const values = { ...readFileOf(sources, stated), ...stated };
  const resolved = Object.fromEntries(
    SETTING_NAMES.map((name) => [camelCase(name), frozen(values[name] ?? defaultOf(name, surroundings))]),
  );
  // The keys and value types come from SETTINGS, as those of Configuration do; see setting.ts.
  const configuration = Object.freeze(resolved) as unknown as Configuration;
  checkOrder(resolved);
  return configuration;
}

/** The machine and user that this process runs on and as. */
export function readSurroundings(): Surroundings {
  return {
    environment: process.env,
    homeDirectory: homedir(),
    isRoot: process.geteuid?.() === 0,
    cpuCount: availableParallelism(),
    memoryMb: usableMemoryMb(),
    // This file is dist/src/config/load.js in the package.
    packageRoot: fileURLToPath(new URL('../../..', import.meta.url)),
    workingDirectory: process.cwd(),
  };
}

/** What the machine has, or what the control group of this process leaves of it. */
function usableMemoryMb(): number {
  const machine = totalmem();
  // 0 or a number beyond all memory: there is no such limit.
  const limit = process.constrainedMemory();
  return Math.floor((limit > 0 ? Math.min(limit, machine) : machine) / BYTES_PER_MIB);
}

function readFileOf(sources: ConfigurationSources, stated: PartialValues): PartialValues {
  const { environment, workingDirectory } = sources.surroundings;
  const named = sources.configFile ?? environment[CONFIG_VARIABLE];
  if (named !== undefined) return readConfigFile(resolve(workingDirectory, named), true);
  const dataDir = stated.data_dir ?? defaultOf('data_dir', sources.surroundings);
  const path = join(String(dataDir), 'config.json');
  const values = readConfigFile(path, false);
  if (values.data_dir !== undefined)
    throw new GlasshouseError(
      'configuration_invalid',
      `${path}: data_dir cannot be set in a file that is found through it; use --config, GLASSHOUSE_DATA_DIR or --data-dir.`,
    );
  return values;
}

function defaultOf(name: SettingName, surroundings: Surroundings): SettingValue {
  const setting: Setting = SETTINGS[name];
  return typeof setting.default === 'function' ? setting.default(surroundings) : setting.default;
}

function frozen(value: SettingValue): SettingValue {
  return typeof value === 'object' ? Object.freeze([...value]) : value;
}

function checkOrder(resolved: Readonly<Record<string, SettingValue>>): void {
  for (const [lower, upper] of ORDERED) {
    const [low, high] = [resolved[camelCase(lower)], resolved[camelCase(upper)]];
    if (typeof low === 'number' && typeof high === 'number' && low > high)
      throw new GlasshouseError(
        'configuration_invalid',
        `${lower} (${low}) is above ${upper} (${high}); change one of them.`,
      );
  }
}
