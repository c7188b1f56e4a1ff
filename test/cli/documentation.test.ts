import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { EXIT_CODES, SIGNAL_BASE } from '../../src/cli/exit-codes.js';
import { flagName } from '../../src/config/setting.js';
import { SETTING_NAMES } from '../../src/config/settings.js';
import { REPOSITORY } from '../source-imports.js';
import { Installation } from './command-line.js';

const sections = readFileSync(join(REPOSITORY, 'docs/cli.md'), 'utf8').split(/^## /m);

/** The first cells of the tables in the section of that heading, without backquotes. */
function firstCells(heading: string): string[] {
  const section = sections.find((text) => text.startsWith(`${heading}\n`));
  assert.ok(section !== undefined, `docs/cli.md has no section ${heading}`);
  const rows = [...section.matchAll(/^\| *(.*?) *\|/gm)].map((match) => match[1] ?? '');
  return rows.filter((cell) => !/^(Code|Option|-+)$/.test(cell)).map((cell) => cell.replaceAll('`', ''));
}

/** The options and commands that a help text lists. */
function listedIn(help: string, title: 'Options' | 'Commands'): string[] {
  const part = help.split(`${title}:\n`)[1]?.split('\n\n')[0] ?? '';
  return [...part.matchAll(/^ {2}(\S.*?)(?: {2,}|$)/gm)].map((match) => match[1] ?? '');
}

/** Every command that can be called, by asking --help from the top. */
async function commands(installation: Installation, path: readonly string[] = []): Promise<string[][]> {
  const names = listedIn(await installation.ok([...path, '--help']), 'Commands')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name !== 'help');
  const below = await Promise.all(names.map((name) => commands(installation, [...path, name])));
  return names.length === 0 ? [[...path]] : below.flat();
}

describe('docs/cli.md', () => {
  it('has the exit codes that the source has', () => {
    const numbers = Object.values(EXIT_CODES).map(String);
    assert.deepEqual(firstCells('Exit codes'), ['0', ...numbers, `${SIGNAL_BASE} + _n_`]);
  });

  it('has every command with the options that its --help lists', async () => {
    using installation = new Installation();
    const found = await commands(installation);
    assert.deepEqual(
      sections.flatMap((section) => /^glasshouse (.*)\n/.exec(section)?.[1] ?? []).sort(),
      found.map((command) => command.join(' ')).sort(),
    );
    const settings = SETTING_NAMES.map((name) => `${flagName(name)} <value>`);
    for (const command of found) {
      const listed = listedIn(await installation.ok([...command, '--help']), 'Options').filter(
        (option) => option !== '-h, --help',
      );
      const documented = firstCells(`glasshouse ${command.join(' ')}`);
      // Those of the server are in docs/configuration.md.
      if (command[0] === 'serve') documented.push(...settings);
      assert.deepEqual(listed.sort(), documented.sort(), command.join(' '));
    }
  });
});
