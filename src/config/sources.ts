import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { GlasshouseError, systemErrorCode } from '../base/errors.js';
import { nearest } from './nearest.js';
import { readJson, readText } from './read-value.js';
import { type SettingValue, type Surroundings, environmentName, flagName } from './setting.js';
import { SETTINGS, SETTING_NAMES, type SettingName, isSettingName } from './settings.js';

/** What one source says; settings that it does not mention are absent. */
export type PartialValues = Partial<Record<SettingName, SettingValue>>;

/** The variable that names the configuration file. */
export const CONFIG_VARIABLE = 'GLASSHOUSE_CONFIG';

/** GLASSHOUSE_ variables that are no settings; the second marks what `glasshouse run` started, itself included. */
const NOT_SETTINGS: readonly string[] = [CONFIG_VARIABLE, 'GLASSHOUSE_EXECUTION_ID'];

const PREFIX = 'GLASSHOUSE_';
const LARGEST_FILE_BYTES = 1024 * 1024;

/** Reads flags, which are keyed by setting name (`data_dir`, not `--data-dir`); undefined: not given. */
export function readFlags(
  flags: Readonly<Partial<Record<SettingName, string>>>,
  at: Surroundings,
): PartialValues {
  const values: PartialValues = {};
  for (const name of SETTING_NAMES) {
    const text = flags[name];
    if (text !== undefined) values[name] = readText(SETTINGS[name], text, flagName(name), at);
  }
  return values;
}

/** Reads every GLASSHOUSE_ variable and refuses those that no setting has. */
export function readEnvironment(at: Surroundings): PartialValues {
  const values: PartialValues = {};
  for (const [variable, text] of Object.entries(at.environment)) {
    if (!variable.startsWith(PREFIX) || NOT_SETTINGS.includes(variable) || text === undefined) continue;
    const name = variable.slice(PREFIX.length).toLowerCase();
    if (!isSettingName(name) || environmentName(name) !== variable)
      throw unknown(variable, 'environment variable', [
        ...SETTING_NAMES.map(environmentName),
        CONFIG_VARIABLE,
      ]);
    values[name] = readText(SETTINGS[name], text, variable, at);
  }
  return values;
}

/**
 * Reads a configuration file, a JSON object with setting names as keys.
 * @param required false: a file that does not exist says nothing.
 */
export function readConfigFile(path: string, required: boolean): PartialValues {
  const text = readBounded(path, required);
  if (text === null) return {};
  const values: PartialValues = {};
  for (const [key, value] of Object.entries(parseObject(path, text))) {
    if (!isSettingName(key)) throw unknown(key, `key in ${path}`, SETTING_NAMES);
    values[key] = readJson(SETTINGS[key], value, `${path}: ${key}`, dirname(path));
  }
  return values;
}

function readBounded(path: string, required: boolean): string | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (!required && systemErrorCode(error) === 'ENOENT') return null;
    throw new GlasshouseError('configuration_invalid', `${path}: the file cannot be read.`, { cause: error });
  }
  if (bytes.length > LARGEST_FILE_BYTES)
    throw new GlasshouseError('configuration_invalid', `${path}: the file is larger than 1 MiB.`);
  return bytes.toString('utf8');
}

function parseObject(path: string, text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new GlasshouseError('configuration_invalid', `${path}: the file is not JSON.`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new GlasshouseError('configuration_invalid', `${path}: the file must hold one JSON object.`);
  return parsed;
}

function unknown(name: string, what: string, known: readonly string[]): GlasshouseError {
  const suggestion = nearest(name, known);
  const hint = suggestion === null ? '' : ` Did you mean ${suggestion}?`;
  return new GlasshouseError(
    'configuration_invalid',
    `${JSON.stringify(name.slice(0, 100))}: unknown ${what}.${hint}`,
  );
}
