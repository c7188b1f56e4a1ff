/** A small declarative checker of JSON shapes: typed, strict (unknown fields are refused), and without dependencies. */
import { GlasshouseError } from '../base/errors.js';
import { decodeBase64, isBase64 } from './base64.js';
import { isJsonObject, type JsonValue } from './json-value.js';
import { decodeUtf8, isWellFormed, quote, type Text } from './text.js';

/**
 * Says what is wrong with a value at a place, or null when it is a T. The second member exists only in the type
 * system: it lets the compiler hold a schema against the interface that it describes.
 */
export interface Schema<T> {
  (value: JsonValue, at: string): string | null;
  readonly accepts?: T;
  /** The field may be absent; see optional(). */
  readonly mayBeAbsent?: true;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

/** The value as a T; throws `receipt_invalid` with the first thing that is wrong, and where. */
export function assertSchema<T>(schema: Schema<T>, value: JsonValue, at: string): T {
  const problem = schema(value, at);
  if (problem !== null) throw new GlasshouseError('receipt_invalid', `The receipt is malformed: ${problem}.`);
  return value as unknown as T; // what the schema has just established
}

/** An object with exactly these fields; those that are optional() may be absent. */
export function objectOf<T extends object>(fields: { readonly [K in keyof T]-?: Schema<T[K]> }): Schema<T> {
  const known = Object.entries<Schema<unknown>>(fields);
  const names = new Set(Object.keys(fields));
  return (value, at) => {
    if (!isJsonObject(value)) return `${at} is not an object`;
    for (const name of Object.keys(value))
      if (!names.has(name)) return `${at} has the unknown field ${quote(name)}`;
    for (const [name, schema] of known) {
      const member = value[name];
      const problem = member === undefined ? absence(schema, at, name) : schema(member, `${at}.${name}`);
      if (problem !== null) return problem;
    }
    return null;
  };
}

function absence({ mayBeAbsent }: Schema<unknown>, at: string, name: string): string | null {
  return mayBeAbsent === true ? null : `${at}.${name} is missing`;
}

/** One of several shapes; the text in the field `name` says which. */
export function variants<Shapes extends Readonly<Record<string, Schema<object>>>>(
  name: string,
  shapes: Shapes,
): Schema<Infer<Shapes[keyof Shapes]>> {
  return (value, at) => {
    if (!isJsonObject(value)) return `${at} is not an object`;
    const kind = value[name];
    const shape = typeof kind === 'string' && Object.hasOwn(shapes, kind) ? shapes[kind] : undefined;
    if (shape !== undefined) return shape(value, at);
    const known = Object.keys(shapes).map((key) => JSON.stringify(key));
    return `${at}.${name} is ${kind === undefined ? 'missing' : `not ${known.join(' or ')}`}`;
  };
}

export function arrayOf<T>(item: Schema<T>, bounds: { min?: number; max: number }): Schema<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return `${at} is not an array`;
    if (value.length > bounds.max) return `${at} has more than ${bounds.max} elements`;
    if (value.length < (bounds.min ?? 0)) return `${at} has too few elements`;
    return firstProblem((value as readonly JsonValue[]).entries(), ([index, element]) =>
      item(element, `${at}[${index}]`),
    );
  };
}

/** An object used as a table: at most `max` names of one form, values of one form. */
export function recordOf<T>(
  name: RegExp,
  item: Schema<T>,
  bounds: { max: number },
): Schema<Readonly<Record<string, T>>> {
  return (value, at) => {
    if (!isJsonObject(value)) return `${at} is not an object`;
    const entries = Object.entries(value);
    if (entries.length > bounds.max) return `${at} has more than ${bounds.max} fields`;
    return firstProblem(entries, ([key, element]) =>
      name.test(key) ? item(element, `${at}.${key}`) : `${at} has the field name ${quote(key)}`,
    );
  };
}

/** Well-formed text of at most `maxLength` UTF-16 code units. */
export function string(bounds: { maxLength: number }): Schema<string> {
  return (value, at) => {
    if (typeof value !== 'string') return `${at} is not a string`;
    if (value.length > bounds.maxLength) return `${at} is longer than ${bounds.maxLength} characters`;
    return isWellFormed(value) ? null : `${at} is not well-formed Unicode`;
  };
}

export function matching(pattern: RegExp, description: string): Schema<string> {
  return (value, at) =>
    typeof value === 'string' && pattern.test(value) ? null : `${at} is not ${description}`;
}

/** An integer of `min` to 2^53-1, or to `max`. */
export function integer(bounds: { min?: number; max?: number } = {}): Schema<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = bounds;
  return (value, at) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? null
      : `${at} is not an integer from ${min} to ${max}`;
}

export const boolean: Schema<boolean> = (value, at) =>
  typeof value === 'boolean' ? null : `${at} is not true or false`;

export function oneOf<const T extends string | number | null>(...allowed: readonly T[]): Schema<T> {
  return (value, at) =>
    allowed.some((candidate) => candidate === value)
      ? null
      : `${at} is not ${allowed.map((candidate) => JSON.stringify(candidate)).join(' or ')}`;
}

export function nullable<T>(schema: Schema<T>): Schema<T | null> {
  return (value, at) => (value === null ? null : schema(value, at));
}

/** For a field that was added to the format: receipts of before do not have it. */
export function optional<T>(schema: Schema<T>): Schema<T> {
  return Object.assign((value: JsonValue, at: string) => schema(value, at), { mayBeAbsent: true as const });
}

export const sha256Hex: Schema<string> = matching(/^[0-9a-f]{64}$/, 'a sha256 in lower-case hexadecimal');

/** Canonical standard base64. */
export const base64: Schema<string> = (value, at) =>
  typeof value === 'string' && isBase64(value) ? null : `${at} is not canonical base64`;

/** RFC 3339 in UTC with milliseconds, a date that exists. */
export const timestamp: Schema<string> = (value, at) =>
  typeof value === 'string' &&
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/.test(value) &&
  isRealDate(value)
    ? null
    : `${at} is not an RFC 3339 time in UTC with milliseconds`;

/** A Text in its only form: base64 is refused for bytes that are UTF-8. */
export function text(bounds: { maxLength: number }): Schema<Text> {
  const asString = string(bounds);
  return (value, at) => {
    if (!isJsonObject(value)) return asString(value, at);
    const encoded = value['base64'];
    if (typeof encoded !== 'string' || Object.keys(value).length !== 1)
      return `${at} is neither text nor base64`;
    if (encoded.length > 2 * bounds.maxLength) return `${at} is too long`;
    if (!isBase64(encoded)) return `${at} is not canonical base64`;
    return decodeUtf8(decodeBase64(encoded)) === null ? null : `${at} is base64 although it is text`;
  };
}

function firstProblem<T>(items: Iterable<T>, check: (item: T) => string | null): string | null {
  for (const item of items) {
    const problem = check(item);
    if (problem !== null) return problem;
  }
  return null;
}

function isRealDate(value: string): boolean {
  const time = Date.parse(value);
  return !Number.isNaN(time) && new Date(time).toISOString() === value;
}
