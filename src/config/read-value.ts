import { resolve } from 'node:path';
import { GlasshouseError } from '../base/errors.js';
import {
  type ChoiceSetting,
  type IntegerSetting,
  type Setting,
  type SettingValue,
  type Surroundings,
} from './setting.js';

/** Where a value was found, in words that let its author find it again: `--port`, `GLASSHOUSE_PORT`, ... */
export type Source = string;

const LONGEST_TEXT = 4096;

/**
 * Reads the text of a flag or an environment variable.
 * @throws GlasshouseError configuration_invalid, naming the source.
 */
export function readText(setting: Setting, text: string, source: Source, at: Surroundings): SettingValue {
  switch (setting.kind) {
    case 'integer':
      if (!/^-?[0-9]{1,15}$/u.test(text)) throw invalid(source, text, 'is not a whole number');
      return checkInteger(setting, Number(text), source);
    case 'list':
      return checkList(
        text.split(',').map((word) => word.trim()),
        source,
      );
    case 'choice':
      return checkChoice(setting, text, source);
    case 'path':
      return resolve(at.workingDirectory, checkText(text, source));
    case 'text':
      return checkText(text, source);
  }
}

/**
 * Reads a value of the configuration file; relative paths start from `directory`, where the file is.
 * @throws GlasshouseError configuration_invalid, naming the source.
 */
export function readJson(setting: Setting, value: unknown, source: Source, directory: string): SettingValue {
  switch (setting.kind) {
    case 'integer':
      if (typeof value !== 'number' || !Number.isSafeInteger(value))
        throw invalid(source, value, 'is not a whole number');
      return checkInteger(setting, value, source);
    case 'list':
      if (!Array.isArray(value)) throw invalid(source, value, 'is not an array of strings');
      return checkList(value, source);
    case 'choice':
      return checkChoice(setting, value, source);
    case 'path':
      return resolve(directory, checkText(value, source));
    case 'text':
      return checkText(value, source);
  }
}

function checkInteger(setting: IntegerSetting, value: number, source: Source): number {
  if (value < setting.minimum || value > setting.maximum)
    throw invalid(
      source,
      value,
      `is out of range: give a number from ${setting.minimum} to ${setting.maximum}`,
    );
  return value;
}

function checkChoice(setting: ChoiceSetting, value: unknown, source: Source): string {
  const found = setting.choices.find((choice) => choice === value);
  if (found === undefined)
    throw invalid(source, value, `is not known: give one of ${setting.choices.join(', ')}`);
  return found;
}

function checkList(words: readonly unknown[], source: Source): readonly string[] {
  return words.map((word) => checkText(word, source));
}

function checkText(value: unknown, source: Source): string {
  if (typeof value !== 'string') throw invalid(source, value, 'is not a string');
  if (value === '') throw invalid(source, value, 'is empty');
  if (value.includes('\0')) throw invalid(source, value, 'contains a NUL character');
  if (value.length > LONGEST_TEXT) throw invalid(source, '...', `is longer than ${LONGEST_TEXT} characters`);
  return value;
}

function invalid(source: Source, value: unknown, problem: string): GlasshouseError {
  return new GlasshouseError('configuration_invalid', `${source}: ${shown(value)} ${problem}.`);
}

/** The value as JSON, so that nothing in it reaches a terminal unescaped, and short. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
