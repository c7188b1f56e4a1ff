import { isatty } from 'node:tty';

import { escapeUnprintable, escapeUnprintableJson } from '../base/printable.js';

export type Style = 'good' | 'bad' | 'dim' | 'bold';

const CODES: Readonly<Record<Style, string>> = { good: '32', bad: '31', dim: '2', bold: '1' };

/** Where the commands print: tables for people, JSON for programs, colour only where a person looks at it. */
export class Console {
  readonly #colour: boolean;

  constructor() {
    const wanted = process.env['NO_COLOR'] === undefined || process.env['NO_COLOR'] === '';
    // Not process.stdout.isTTY: touching process.stdout changes the mode of a terminal that a command shares.
    this.#colour = wanted && isatty(1) && process.env['TERM'] !== 'dumb';
  }

  /** One line for people; text that came from elsewhere must have gone through printable(). */
  line(text = ''): void {
    process.stdout.write(`${text}\n`);
  }

  /** Text of ours that is to be kept byte for byte. */
  text(text: string): void {
    process.stdout.write(text);
  }

  json(value: unknown): void {
    process.stdout.write(`${escapeUnprintableJson(JSON.stringify(value, null, 2))}\n`);
  }

  /** A warning or an error: always stderr, so that stdout stays what was asked for. */
  note(text: string): void {
    process.stderr.write(`glasshouse: ${escapeUnprintable(text)}\n`);
  }

  /** Makes text that came from elsewhere safe for a terminal. */
  printable(text: string): string {
    return escapeUnprintable(text);
  }

  style(style: Style, text: string): string {
    return this.#colour ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text;
  }

  /** Columns as wide as their widest cell. Cells are made printable; `styles` colours whole columns. */
  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    const cells = rows.map((row) => row.map(escapeUnprintable));
    const widths = headings.map((heading, index) =>
      Math.max(heading.length, ...cells.map((row) => row[index]?.length ?? 0)),
    );
    const layOut = (row: readonly string[]): string =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd();
    this.line(this.style('bold', layOut(headings)));
    for (const row of cells) this.line(layOut(row));
  }
}
