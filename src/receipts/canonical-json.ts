import { GlasshouseError } from '../base/errors.js';
import { isJsonObject, type JsonObject, type JsonValue } from './json-value.js';
import { isWellFormed, quote } from './text.js';

const MAX_DEPTH = 64;
const ENCODER = new TextEncoder();
/** What is not printable ASCII that stands for itself in JSON. Nearly every string of a receipt has none of it. */
const NOT_PLAIN = /[^ !#-[\]-~]/;
/** Names up to which sorting by hand is faster than sort(). */
const FEW_NAMES = 24;

/**
 * Which integers may be written. `safe`: between -(2^53-1) and 2^53-1, what every reader of JSON agrees on (RFC 7493
 * section 2.2); larger ones must be strings. `any`: every double, as RFC 8785 by itself allows.
 */
export type IntegerRange = 'safe' | 'any';

/**
 * The canonical form of a JSON value: RFC 8785 (JCS). Throws `receipt_invalid` for what has none: NaN, infinities,
 * lone surrogates, undefined, anything but plain objects and arrays, nesting beyond 64, and integers out of range.
 */
export function canonicalize(value: JsonValue, integers: IntegerRange = 'safe'): string {
  return write(value, integers, 0);
}

/** The canonical form as the UTF-8 bytes that are hashed and signed. */
export function canonicalBytes(value: JsonValue): Uint8Array {
  return ENCODER.encode(canonicalize(value));
}

function write(value: JsonValue, integers: IntegerRange, depth: number): string {
  if (depth > MAX_DEPTH) throw refused(`more than ${MAX_DEPTH} levels of nesting`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return writeNumber(value, integers);
  if (typeof value === 'string') return writeString(value);
  if (Array.isArray(value)) return writeArray(value as readonly JsonValue[], integers, depth);
  // The type excludes what follows, but types are not checked where JavaScript calls.
  if (typeof value !== 'object' || !isJsonObject(value)) throw refused(`a value of type ${typeof value}`);
  return writeObject(value, integers, depth);
}

/** RFC 8785 section 3.2.2.3: ECMAScript's own serialisation of a double; -0 is written 0. */
function writeNumber(value: number, integers: IntegerRange): string {
  if (!Number.isFinite(value)) throw refused(`the number ${value}`);
  if (integers === 'safe' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw refused(`the integer ${value}, which is beyond 2^53: write it as a string`);
  }
  return String(value);
}

/** RFC 8785 section 3.2.2.2: for well-formed strings JSON.stringify escapes exactly as demanded. */
function writeString(value: string): string {
  if (!NOT_PLAIN.test(value)) return `"${value}"`;
  if (!isWellFormed(value)) throw refused(`a lone surrogate in ${quote(value)}`);
  return JSON.stringify(value);
}

/** By index, which visits the holes of a sparse array too. */
function writeArray(items: readonly JsonValue[], integers: IntegerRange, depth: number): string {
  let written = '';
  for (let index = 0; index < items.length; index += 1)
    written += `${index === 0 ? '' : ','}${write(items[index] as JsonValue, integers, depth + 1)}`;
  return `[${written}]`;
}

/** RFC 8785 section 3.2.3: members in the order of their names' UTF-16 code units. */
function writeObject(value: JsonObject, integers: IntegerRange, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) throw refused('an object that is not plain');
  let members = '';
  for (const name of sorted(Object.keys(value))) {
    const member = write(value[name] as JsonValue, integers, depth + 1); // undefined is refused there
    members += `${members === '' ? '' : ','}${writeString(name)}:${member}`;
  }
  return `{${members}}`;
}

/** In place, by UTF-16 code units, which is what both sort() and `>` compare. */
function sorted(names: string[]): string[] {
  if (names.length > FEW_NAMES) return names.sort();
  for (let end = 1; end < names.length; end += 1) {
    const name = names[end] ?? '';
    let place = end;
    for (; place > 0; place -= 1) {
      const before = names[place - 1] ?? '';
      if (before <= name) break;
      names[place] = before;
    }
    names[place] = name;
  }
  return names;
}

function refused(what: string): GlasshouseError {
  return new GlasshouseError('receipt_invalid', `No canonical JSON exists for ${what}.`);
}
