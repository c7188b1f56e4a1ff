import { createHmac } from 'node:crypto';

import { REDACTION_MARK, redactionMark } from '../receipts/redaction-marks.js';
import { type Text, textFromBytes, textToBytes } from '../receipts/text.js';
import { KnownSecrets } from './known-secrets.js';
import { matchesOf } from './known-formats.js';
import { type RedactionRules } from './redaction-rules.js';
import { mergeSpans, type Span } from './span.js';

/** What the key authenticates, so that it can never be used for two things. */
const SECRET_DOMAIN = 'glasshouse redaction v1: secret\0';
const KEY_ID_DOMAIN = 'glasshouse redaction v1: key id\0';
const KEY_ID_DIGITS = 16;
/** A text with more of them is replaced as a whole: marks are longer than most secrets. */
const MOST_MARKS = 64;
/** A server has a few notes; some change with what went wrong. */
const MOST_NOTES = 64;
/** What looks like a mark and is none of ours is replaced too: nobody can make a mark but the holder of the key. */
const FOREIGN_MARK = new RegExp(REDACTION_MARK.source, 'g');

/**
 * Replaces secrets by marks, keyed hashes (HMAC-SHA256, RFC 2104) of which 128 bits are kept: the same secret has the
 * same mark in one installation, and without its key nobody can try out what a mark stands for.
 */
export class Redactor {
  readonly rules: RedactionRules;
  /** Tells whether the marks of two receipts can be compared; says nothing about the key. */
  readonly keyId: string;
  readonly #key: Uint8Array;
  readonly #spansOfNotes = new Map<string, readonly Span[]>();

  /** @param key 32 bytes; see redaction-key.ts. */
  constructor(key: Uint8Array, rules: RedactionRules) {
    this.#key = key;
    this.rules = rules;
    this.keyId = createHmac('sha256', key).update(KEY_ID_DOMAIN).digest('hex').slice(0, KEY_ID_DIGITS);
  }

  mark(secret: Uint8Array): string {
    return redactionMark(createHmac('sha256', this.#key).update(SECRET_DOMAIN).update(secret).digest('hex'));
  }

  /** The text without its secrets: those that the rules find, those in `known`, and `more`. */
  string(text: string, maxLength: number, known = new KnownSecrets(), more: readonly Span[] = []): string {
    return this.#replace(text, 'utf8', maxLength, this.#spansIn(text, known, more));
  }

  /**
   * The same for a note of ours, which every receipt of a server has: what the rules find in it is remembered. Never for
   * text of a caller's, which would stay in memory.
   */
  note(text: string, maxLength: number, known: KnownSecrets): string {
    let spans = this.#spansOfNotes.get(text);
    if (spans === undefined) {
      spans = this.#spansByRules(text);
      if (this.#spansOfNotes.size >= MOST_NOTES) this.#spansOfNotes.clear();
      this.#spansOfNotes.set(text, spans);
    }
    return this.#replace(text, 'utf8', maxLength, [...known.inText(text), ...spans]);
  }

  /** The same for text that may not be UTF-8. */
  text(text: Text, maxLength: number, known: KnownSecrets, more: readonly Span[] = []): Text {
    if (typeof text === 'string') return this.string(text, maxLength, known, more);
    const raw = Buffer.from(textToBytes(text)).toString('latin1');
    const redacted = this.#replace(raw, 'latin1', maxLength, this.#spansIn(raw, known, more));
    return redacted === raw ? text : textFromBytes(Buffer.from(redacted, 'latin1'));
  }

  #spansIn(text: string, known: KnownSecrets, more: readonly Span[]): Span[] {
    return [...more, ...known.inText(text), ...this.#spansByRules(text)];
  }

  #spansByRules(text: string): readonly Span[] {
    return [
      ...(text.includes('[redacted:') ? matchesOf(FOREIGN_MARK, text) : []),
      ...this.rules.inText(text),
    ];
  }

  /** `found`: what of the text is to be replaced; may overlap. */
  #replace(text: string, encoding: 'utf8' | 'latin1', maxLength: number, found: readonly Span[]): string {
    const spans = mergeSpans(found);
    if (spans.length === 0) return text;
    const markOf = (secret: string): string => this.mark(Buffer.from(secret, encoding));
    if (spans.length > MOST_MARKS) return markOf(text);
    const result = replaceSpans(text, spans, markOf);
    return result.length > maxLength ? markOf(text) : result;
  }
}

function replaceSpans(text: string, spans: readonly Span[], markOf: (secret: string) => string): string {
  const parts: string[] = [];
  let copied = 0;
  for (const { start, end } of spans) {
    parts.push(text.slice(copied, start), markOf(text.slice(start, end)));
    copied = end;
  }
  return parts.join('') + text.slice(copied);
}
