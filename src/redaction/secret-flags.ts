import { type SecretNames } from './secret-names.js';

/** A flag whose value is a secret although its name does not say so, for example `-p` of `sshpass`. */
export interface SecretFlag {
  /** Name of the program's file; null: of every program. */
  readonly program: string | null;
  /** With its dashes. */
  readonly flag: string;
}

/** Where in the words of one command a secret is. */
export interface SecretInWord {
  readonly index: number;
  /** First character of the secret in the word; it goes on to the end of the word. */
  readonly offset: number;
}

const NAMED_VALUE = /^(-{0,2})([A-Za-z_][\w.-]{0,63})=/;
const NAMED_FLAG = /^--?([A-Za-z][\w.-]{1,63})$/;
/** What follows a flag and is another flag, so the first one has no value. */
const ANOTHER_FLAG = /^(?:-[A-Za-z]|--[A-Za-z][a-z0-9-]*(?:=[^]*)?)$/;

/** Values of `--token x`, `--password=x`, `PASSWORD=x`, and of the flags that are configured. */
export function secretsInWords(
  words: readonly string[],
  names: SecretNames,
  flags: readonly SecretFlag[],
): SecretInWord[] {
  const programs = new Set<string>();
  const found: SecretInWord[] = [];
  for (const [index, word] of words.entries()) {
    const own = offsetInWord(word, names, flags, programs);
    const next = words[index + 1];
    if (own !== null) found.push({ index, offset: own });
    else if (next !== undefined && takesNext(word, names, flags, programs) && !ANOTHER_FLAG.test(next))
      found.push({ index: index + 1, offset: 0 });
    if (word.length < 256) programs.add(word.slice(word.lastIndexOf('/') + 1));
  }
  return found;
}

/** Where the value begins that stands in the same word as its flag or name; null when there is none. */
function offsetInWord(
  word: string,
  names: SecretNames,
  flags: readonly SecretFlag[],
  programs: ReadonlySet<string>,
): number | null {
  const named = NAMED_VALUE.exec(word);
  if (named !== null && names.has(named[2] ?? '')) return named[0].length;
  for (const { program, flag } of flags) {
    if (program !== null && !programs.has(program)) continue;
    if (word.length <= flag.length || !word.startsWith(flag)) continue;
    if (flag.length === 2) return flag.length;
    if (word[flag.length] === '=') return flag.length + 1;
  }
  return null;
}

function takesNext(
  word: string,
  names: SecretNames,
  flags: readonly SecretFlag[],
  programs: ReadonlySet<string>,
): boolean {
  const named = NAMED_FLAG.exec(word);
  if (named !== null && names.has(named[1] ?? '')) return true;
  return flags.some(({ program, flag }) => flag === word && (program === null || programs.has(program)));
}
