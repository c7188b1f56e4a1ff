import { type ErrorCode, GlasshouseError } from '../base/errors.js';
import { type JsonObject, type JsonValue } from './json-value.js';
import { decodeUtf8, isWellFormed, quote } from './text.js';

export interface JsonBounds {
  readonly maxBytes: number;
  /** Levels of arrays and objects inside each other; a document that is only a number has none. */
  readonly maxDepth: number;
  /** Objects and arrays in all: `{}` and `[1]` are a few bytes long and take some 200 bytes of memory. */
  readonly maxContainers: number;
}

/**
 * Parses one JSON document (RFC 8259) and refuses what two readers could understand differently (RFC 7493, I-JSON):
 * duplicate names, lone surrogates, invalid UTF-8, a byte order mark, numbers outside the range or the precision of a
 * double, and anything after the document. Objects have no prototype, so that `__proto__` is a name like any other.
 * Throws `receipt_invalid`, for duplicate names `duplicate_name`.
 */
export function parseStrictJson(bytes: Uint8Array, bounds: JsonBounds): JsonValue {
  if (bytes.length > bounds.maxBytes) throw malformed(`it is longer than ${bounds.maxBytes} bytes`);
  const text = decodeUtf8(bytes);
  if (text === null) throw malformed('it is not UTF-8');
  return new Parser(text, bounds).parseDocument();
}

/** In characters: nobody writes out zeros for so long. */
const MAX_NUMBER_LENGTH = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const FOUR_HEX_DIGITS = /[0-9a-fA-F]{4}/y;
const WHITE_SPACE = /[ \t\n\r]*/y;
const SHORT_ESCAPES = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);
const LITERALS: readonly (readonly [string, JsonValue])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class Parser {
  readonly #text: string;
  readonly #bounds: JsonBounds;
  #position = 0;
  #depth = 0;
  #containers = 0;

  constructor(text: string, bounds: JsonBounds) {
    this.#text = text;
    this.#bounds = bounds;
  }

  parseDocument(): JsonValue {
    const value = this.#parseValue();
    if (this.#peek() !== '') throw this.#unexpected('the end');
    return value;
  }

  #parseValue(): JsonValue {
    const next = this.#peek();
    if (next === '{') return this.#nested(() => this.#parseObject());
    if (next === '[') return this.#nested(() => this.#parseArray());
    if (next === '"') return this.#parseString();
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#position)) {
        this.#position += word.length;
        return value;
      }
    }
    return this.#parseNumber();
  }

  #nested<T>(parse: () => T): T {
    const { maxDepth, maxContainers } = this.#bounds;
    if (this.#depth === maxDepth) throw malformed(`it is nested more than ${maxDepth} levels deep`);
    if (this.#containers === maxContainers)
      throw malformed(`it has more than ${maxContainers} objects and arrays`);
    this.#containers += 1;
    this.#depth += 1;
    this.#position += 1; // the bracket
    const value = parse();
    this.#depth -= 1;
    return value;
  }

  #parseObject(): JsonObject {
    const members = Object.create(null) as Record<string, JsonValue>;
    if (this.#accept('}')) return members;
    do {
      if (this.#peek() !== '"') throw this.#unexpected('a name in quotes');
      const name = this.#parseString();
      if (name in members)
        throw malformed(`the name ${quote(name)} appears twice in one object`, 'duplicate_name');
      this.#expect(':');
      members[name] = this.#parseValue();
    } while (this.#accept(','));
    this.#expect('}');
    return members;
  }

  #parseArray(): JsonValue[] {
    const items: JsonValue[] = [];
    if (this.#accept(']')) return items;
    do items.push(this.#parseValue());
    while (this.#accept(','));
    this.#expect(']');
    return items;
  }

  #parseNumber(): number {
    const token = this.#match(NUMBER);
    if (token === '') throw this.#unexpected('a value');
    const value = Number(token);
    if (!Number.isFinite(value)) throw malformed(`the number ${quote(token)} is too large`);
    if (!isExact(token, value)) throw malformed(`the number ${quote(token)} is too precise`);
    return value;
  }

  #parseString(): string {
    this.#position += 1; // the opening quote
    let value = '';
    for (;;) {
      value += this.#plainRun();
      const end = this.#text.charAt(this.#position);
      if (end === '"') break;
      if (end !== '\\') throw this.#unexpected('a closing quote'); // the end, or a bare control character
      this.#position += 1;
      value += this.#parseEscape();
    }
    this.#position += 1;
    if (!isWellFormed(value)) throw malformed('a string has a lone surrogate');
    return value;
  }

  /** Everything up to the next quote, backslash or control character. */
  #plainRun(): string {
    const start = this.#position;
    for (; this.#position < this.#text.length; this.#position += 1) {
      const unit = this.#text.charCodeAt(this.#position);
      if (unit === 0x22 || unit === 0x5c || unit < 0x20) break;
    }
    return this.#text.slice(start, this.#position);
  }

  #parseEscape(): string {
    const letter = this.#text.charAt(this.#position);
    const short = SHORT_ESCAPES.get(letter);
    if (short === undefined && letter !== 'u') throw this.#unexpected('an escape sequence');
    this.#position += 1;
    if (short !== undefined) return short;
    const digits = this.#match(FOUR_HEX_DIGITS);
    if (digits === '') throw this.#unexpected('four hexadecimal digits');
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  /** The next character that is not white space; the empty string at the end. */
  #peek(): string {
    this.#match(WHITE_SPACE);
    return this.#text.charAt(this.#position);
  }

  #accept(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#position += 1;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) throw this.#unexpected(quote(character));
  }

  /** Consumes and returns what a sticky expression matches here; the empty string when it does not match. */
  #match(sticky: RegExp): string {
    sticky.lastIndex = this.#position;
    const token = sticky.exec(this.#text)?.[0] ?? '';
    this.#position += token.length;
    return token;
  }

  #unexpected(wanted: string): GlasshouseError {
    const found = this.#text.charAt(this.#position);
    const what = found === '' ? 'it ends' : `${quote(found)} was found`;
    return malformed(`${what} at character ${this.#position}, where ${wanted} should be`);
  }
}

/** False when the double that is nearest to it is written in another way: a reader with decimal numbers sees another. */
function isExact(token: string, value: number): boolean {
  return token.length <= MAX_NUMBER_LENGTH && decimalOf(token) === decimalOf(String(value));
}

/** One form of each decimal number, without its sign: the digits that count, and the power of ten of the last one. */
function decimalOf(number: string): string {
  const [mantissa = '', power = '0'] = number.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = `${whole}${fraction}`.replace(/^0+/u, '');
  const significant = digits.replace(/0+$/u, '');
  if (significant === '') return '0';
  return `${significant}e${Number(power) - fraction.length + digits.length - significant.length}`;
}

function malformed(why: string, code: ErrorCode = 'receipt_invalid'): GlasshouseError {
  return new GlasshouseError(code, `The JSON is malformed: ${why}.`);
}
