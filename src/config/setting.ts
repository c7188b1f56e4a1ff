/** What a default may depend on: the machine and the user, never the request. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  readonly isRoot: boolean;
  readonly cpuCount: number;
  /** Memory that this process and what it starts may use, in MiB. */
  readonly memoryMb: number;
  /** Absolute path of the directory that holds package.json. */
  readonly packageRoot: string;
  /** What relative paths of flags and environment variables start from. */
  readonly workingDirectory: string;
}

type Default<T> = T | ((surroundings: Surroundings) => T);

interface Described<T> {
  /** One sentence for people: the flag's help text and the row in docs/configuration.md. */
  readonly description: string;
  readonly default: Default<T>;
  /** The default in words where it depends on the machine. */
  readonly defaultText?: string;
}

export interface IntegerSetting extends Described<number> {
  readonly kind: 'integer';
  readonly minimum: number;
  readonly maximum: number;
}

export interface TextSetting extends Described<string> {
  readonly kind: 'text';
}

/** A path of a file or directory; made absolute when it is read. */
export interface PathSetting extends Described<string> {
  readonly kind: 'path';
}

/** Several words, separated by commas in flags and environment variables, an array in the file. */
export interface ListSetting extends Described<readonly string[]> {
  readonly kind: 'list';
}

export interface ChoiceSetting<Choice extends string = string> extends Described<NoInfer<Choice>> {
  readonly kind: 'choice';
  readonly choices: readonly Choice[];
}

export type Setting = IntegerSetting | TextSetting | PathSetting | ListSetting | ChoiceSetting;

/** The type of the value that a setting has once it is resolved. */
export type ValueOf<S extends Setting> = S extends IntegerSetting
  ? number
  : S extends ListSetting
    ? readonly string[]
    : S extends ChoiceSetting<infer Choice>
      ? Choice
      : string;

export type SettingValue = number | string | readonly string[];

/** `max_memory_mb` becomes `maxMemoryMb`. */
export type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

export function camelCase(name: string): string {
  return name.replace(/_([a-z])/gu, (_, letter: string) => letter.toUpperCase());
}

/** `max_memory_mb` is the flag `--max-memory-mb`. */
export function flagName(name: string): string {
  return `--${name.replaceAll('_', '-')}`;
}

/** `max_memory_mb` is the environment variable `GLASSHOUSE_MAX_MEMORY_MB`. */
export function environmentName(name: string): string {
  return `GLASSHOUSE_${name.toUpperCase()}`;
}
