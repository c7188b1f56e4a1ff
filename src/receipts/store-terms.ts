import { type Predicate } from './receipt.js';
import { type Text } from './text.js';

/** Characters of all texts of one receipt that can be searched for; of a large observation this is the beginning. */
const MOST_CHARACTERS = 16_384;
const LONGEST_WORD = 64;

/** Letters and digits in lower case; everything else separates words. */
export function wordsOf(text: string): string[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}\p{M}]+/gu) ?? [];
  return words.map((word) => word.slice(0, LONGEST_WORD));
}

/** A value that is searched for as a whole, as one word. */
export function termOf(value: string): string {
  return wordsOf(value).join('').slice(0, LONGEST_WORD);
}

/** What can be searched for in a receipt: arguments, names of files, the error, then what was observed to run. */
export function searchableWords(predicate: Predicate): string {
  const words = new Set<string>();
  let left = MOST_CHARACTERS;
  for (const text of searchableTexts(predicate)) {
    if (left <= 0) break;
    for (const word of wordsOf(text.slice(0, left))) words.add(word);
    left -= text.length;
  }
  return [...words].join(' ');
}

function* searchableTexts({ request, outcome, artifacts, process_tree }: Predicate): Generator<string> {
  yield* request.argv.flatMap(readable);
  if (outcome.error !== null) yield `${outcome.error.code} ${outcome.error.message}`;
  yield* request.input_files.flatMap(({ path }) => readable(path));
  yield* artifacts.files.flatMap(({ path }) => readable(path));
  for (const { images } of process_tree)
    for (const { executable, argv } of images) {
      if (executable !== null) yield* readable(executable);
      yield* argv.flatMap(readable);
    }
}

/** Bytes that are no text have no words. */
function readable(text: Text): string[] {
  return typeof text === 'string' ? [text] : [];
}
