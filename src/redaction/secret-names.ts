/** First words that turn a name into its opposite: `--no-password`, `--ask-passphrase`. */
const NEGATIONS = new Set(['no', 'not', 'without', 'disable', 'skip', 'ask', 'prompt']);

/**
 * Last words that say that the value is something about a secret, not the secret: `--token-file`, `SSH_AUTH_SOCK`; or
 * that it was none: every compiler passes `-pass-through=-lgcc` to its linker.
 */
const ABOUT = new Set(
  (
    'file filename path dir directory sock socket name id type url uri host port user username length size count ' +
    'limit ttl timeout expiry expires algorithm policy mode stdin agent provider cmd command helper store method ' +
    'version enabled required through'
  ).split(' '),
);

const LONGEST_NAME = 256;

/** Tells by a name (of a variable, flag, header, field) whether its value is a secret. */
export class SecretNames {
  readonly #patterns: readonly (readonly RegExp[])[];

  /** Each pattern is one or more words; `*` at the end of a word stands for anything. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) =>
      pattern
        .trim()
        .split(/[\s_-]+/)
        .map(wordPattern),
    );
  }

  has(name: string): boolean {
    // The shell's working directory, of all names.
    if (name === 'PWD') return false;
    const words = wordsOf(name.slice(0, LONGEST_NAME));
    if (NEGATIONS.has(words[0] ?? '') || ABOUT.has(words.at(-1) ?? '')) return false;
    return this.#patterns.some((pattern) =>
      words.some((_, start) => pattern.every((word, index) => word.test(words[start + index] ?? ''))),
    );
  }
}

/** `X-Api-Key`, `API_KEY` and `apiKey` are the same words. */
function wordsOf(name: string): readonly string[] {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
}

function wordPattern(word: string): RegExp {
  const escaped = word.toLowerCase().replaceAll(/[^a-z0-9*]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replaceAll('*', '[a-z0-9]*')}$`);
}
