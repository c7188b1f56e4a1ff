import { GlasshouseError } from '../base/errors.js';
import { secretsByFormat, matchesOf } from './known-formats.js';
import { type SecretFlag, secretsInWords } from './secret-flags.js';
import { SecretNames } from './secret-names.js';
import { secretsByName, secretsByScheme, passwordsInUrls, usersInUrls } from './secrets-in-text.js';
import { isSeparator, quotedParts, shellWords, type Word } from './shell-words.js';
import { type Span } from './span.js';

const DEEPEST_QUOTES = 3;

/** The settings that say what a secret is, as docs/configuration.md has them. */
export interface RedactionSettings {
  readonly secretNames: readonly string[];
  readonly secretFlags: readonly string[];
  readonly secretPatterns: readonly string[];
  readonly recordEnv: readonly string[];
}

/** What counts as a secret. Finds; replaces nothing. */
export class RedactionRules {
  readonly names: SecretNames;
  readonly #flags: readonly SecretFlag[];
  readonly #patterns: readonly RegExp[];
  readonly #recorded: readonly string[];

  /** Throws `configuration_invalid` for a flag or pattern that is none. */
  constructor(settings: RedactionSettings) {
    this.names = new SecretNames(settings.secretNames);
    this.#flags = settings.secretFlags.map(parseFlag);
    this.#patterns = settings.secretPatterns.map(parsePattern);
    this.#recorded = settings.recordEnv;
  }

  /** Whether the value of this variable goes into the receipt (redacted, if it is a secret). */
  records(variable: string): boolean {
    return this.#recorded.some((name) =>
      name.endsWith('*') ? variable.startsWith(name.slice(0, -1)) : variable === name,
    );
  }

  /** Secrets inside any text; they may overlap. */
  inText(text: string): Span[] {
    return [...this.worthKnowing(text), ...usersInUrls(text)];
  }

  /** Those that are to be replaced wherever else they stand; a user's name may be a word like any other. */
  worthKnowing(text: string): Span[] {
    return [
      ...secretsByName(text, this.names),
      ...secretsByScheme(text),
      ...passwordsInUrls(text),
      ...secretsByFormat(text),
      ...this.#patterns.flatMap((pattern) => matchesOf(pattern, text)),
      ...this.#inCommandLines(text),
    ];
  }

  /** Secrets in the arguments of one command, for each argument; beside those that inText() finds in it. */
  inArguments(argv: readonly string[]): ReadonlyMap<number, Span> {
    const secrets = secretsInWords(argv, this.names, this.#flags);
    return new Map(
      secrets.map(({ index, offset }) => [index, { start: offset, end: argv[index]?.length ?? 0 }]),
    );
  }

  /** A text may hold the command lines of a shell, `sh -c 'mysql -p...'`, and those may be quoted once more. */
  #inCommandLines(text: string, depth = 0): Span[] {
    if (!/(?:^|\s)-/.test(text) || depth > DEEPEST_QUOTES) return [];
    const spans: Span[] = [];
    let command: Word[] = [];
    const close = (): void => {
      const words = command.map((word) => word.text);
      for (const { index, offset } of secretsInWords(words, this.names, this.#flags)) {
        const word = command[index];
        if (word !== undefined) spans.push({ start: word.start + offset, end: word.end });
      }
      command = [];
    };
    for (const word of shellWords(text)) {
      if (isSeparator(word)) close();
      else command.push(word);
      for (const inner of quotedParts(text, word))
        for (const { start, end } of this.#inCommandLines(inner.text, depth + 1))
          spans.push({ start: inner.start + start, end: inner.start + end });
    }
    close();
    return spans;
  }
}

/** `-p`, or `mysql:-p` for one program alone. */
function parseFlag(entry: string): SecretFlag {
  const match = /^(?:([^:\s]+):)?(--?[A-Za-z0-9][\w-]*)$/.exec(entry);
  if (match?.[2] === undefined)
    throw invalid('secret_flags', entry, 'is not a flag; write for example -p or mysql:-p');
  return { program: match[1] ?? null, flag: match[2] };
}

function parsePattern(entry: string): RegExp {
  try {
    return new RegExp(entry, 'gu');
  } catch (cause) {
    throw invalid('secret_patterns', entry, 'is not a regular expression', cause);
  }
}

function invalid(setting: string, value: string, problem: string, cause?: unknown): GlasshouseError {
  return new GlasshouseError(
    'configuration_invalid',
    `${setting}: ${JSON.stringify(value.slice(0, 80))} ${problem}.`,
    { cause },
  );
}
