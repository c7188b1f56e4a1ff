import { readFileSync } from 'node:fs';

/** The rows of all tables in a Markdown file whose first cell is code, as their cells. */
export function documentationRows(file: string): readonly (readonly string[])[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}
