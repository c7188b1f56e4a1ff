import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';

import { highestInheritableDescriptor } from '../../src/base/inherited-descriptors.js';

const PROGRAM = `
  const { highestInheritableDescriptor } = await import(process.argv[1]);
  process.stdout.write(String(highestInheritableDescriptor()));
`;
const MODULE = new URL('../../src/base/inherited-descriptors.js', import.meta.url).href;

/** What a process says that was started with `stdio`. */
async function askChild(stdio: ('ignore' | 'pipe' | number)[]): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, MODULE], { stdio });
  let answer = '';
  child.stdout?.on('data', (chunk) => (answer += String(chunk)));
  await once(child, 'close');
  return answer;
}

describe('the highest inheritable descriptor', () => {
  // Whatever this very process was started with, Node.js passes on.
  const own = highestInheritableDescriptor();

  it('is that of the parent in a process that was started with nothing more', async () => {
    assert.equal(await askChild(['ignore', 'pipe', 'ignore']), String(own));
  });

  it('is the one that whoever started the process left open', async () => {
    await using file = await open('/dev/null', 'r');
    const between = Array.from({ length: own + 5 }, () => 'ignore' as const);
    assert.equal(await askChild(['ignore', 'pipe', ...between, file.fd]), String(own + 7));
  });
});
