import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

const DIRECTORY = 'src/receipts';
/** The only files that may use the machine that they run on. */
const BOUND_TO_NODE = /^(crypto|key-ring|store(-[a-z]+)?)\.ts$/;

function importsOf(file: string): string[] {
  const source = readFileSync(`${DIRECTORY}/${file}`, 'utf8');
  return [...source.matchAll(/\bfrom '([^']+)'|\bimport\(?\s*'([^']+)'/g)].map(
    ([, from, bare]) => from ?? bare ?? '',
  );
}

describe('the receipt room', () => {
  for (const file of readdirSync(DIRECTORY)) {
    it(`${file} imports nothing that a browser lacks, and nothing that can start a process`, () => {
      for (const name of importsOf(file)) {
        if (name.startsWith('./') || name === '../base/errors.js') continue;
        assert.match(file, BOUND_TO_NODE, `${file} imports ${name}`);
        const allowed =
          file === 'crypto.ts' ? /^node:crypto$/ : /^(node:(fs|path)|better-sqlite3|\.\.\/base\/.*)$/;
        assert.match(name, allowed);
      }
    });
  }

  it('leads from verify.ts to crypto.ts, and to no other file that needs Node', () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const name of importsOf(file)) {
        if (name.startsWith('./')) visit(name.slice(2).replace(/\.js$/, '.ts'));
      }
    };
    visit('verify.ts');
    assert.deepEqual(
      [...reached].filter((file) => BOUND_TO_NODE.test(file)),
      ['crypto.ts'],
    );
  });
});
