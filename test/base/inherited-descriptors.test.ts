import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';

import { inheritedDescriptors } from '../../src/base/inherited-descriptors.js';

const PROGRAM = `
  const { closeInheritedDescriptors, inheritedDescriptors } = await import(process.argv[1]);
  const before = inheritedDescriptors();
  closeInheritedDescriptors();
  process.stdout.write(JSON.stringify([before, inheritedDescriptors()]));
`;
const MODULE = new URL('../../src/base/inherited-descriptors.js', import.meta.url).href;

/** What a process that was started with `stdio` has inherited, before and after it closed that. */
async function askChild(stdio: ('ignore' | 'pipe' | number)[]): Promise<unknown> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, MODULE], { stdio });
  let answer = '';
  child.stdout?.on('data', (chunk) => (answer += String(chunk)));
  await once(child, 'close');
  return JSON.parse(answer);
}

describe('inherited descriptors', () => {
  // Whatever this very process was started with, Node.js passes on.
  const own = inheritedDescriptors();

  it('are those of the parent in a process that was started with nothing more', async () => {
    assert.deepEqual(await askChild(['ignore', 'pipe', 'ignore']), [own, []]);
  });

  it('are seen and closed', async () => {
    await using file = await open('/dev/null', 'r');
    // Node.js marks low ones close-on-exec by itself when it starts, up to the first gap above 15.
    const between = Array.from({ length: 97 }, () => 'ignore' as const);
    const stdio = ['ignore' as const, 'pipe' as const, 'ignore' as const, ...between, file.fd];
    assert.deepEqual(await askChild(stdio), [[100, ...own], []]);
  });
});
