import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { ended, Installation, predicateOf } from '../cli/command-line.js';
import { machinesOf, until } from './server-process.js';

const TIME_LIMIT = { timeout: 180_000 };
const GUEST = ['run', '--backend', 'qemu'];

describe('glasshouse run --backend qemu', TIME_LIMIT, () => {
  it('takes files, environment and stdin into the guest and gives the output and exit code back', async () => {
    using installation = new Installation();
    writeFileSync(join(installation.directory, 'given.txt'), 'given\n');
    writeFileSync(join(installation.directory, 'kept-out.txt'), '');
    const script = 'cat given.txt; cat; echo $WORD; ls; echo problem >&2; exit 5';
    const result = await installation.call(
      [...GUEST, '--file', 'given.txt', '--env', 'WORD=a=b c', '--', 'sh', '-c', script],
      { stdin: 'piped\n', environment: { OURS: 'stays out' } },
    );
    assert.deepEqual([result.code, result.stderr], [5, 'problem\n']);
    assert.equal(result.stdout, 'given\npiped\na=b c\ngiven.txt\n');
    const { execution, outcome, request } = predicateOf(installation.receiptFile);
    assert.match(execution.isolation, /^vm-/);
    assert.deepEqual([outcome.status, outcome.exit_code], ['error', 5]);
    assert.deepEqual(request.env_names, ['WORD']);
    assert.equal((await installation.call(['verify', 'receipt.json'])).code, 0);
  });

  it('exits with 127 for a command that the guest does not have, and 126 for one that is none', async () => {
    using installation = new Installation();
    assert.equal((await installation.call([...GUEST, '--', 'no-such-command'])).code, 127);
    assert.equal((await installation.call([...GUEST, '--', '/etc/passwd'])).code, 126);
  });

  it('passes SIGTERM on, ends with the signal, and leaves nothing', async () => {
    using installation = new Installation();
    const child = installation.start([...GUEST, '--', 'sh', '-c', 'echo ready; sleep 600'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await new Promise((resolve) => child.stdout?.once('readable', resolve));
    child.kill('SIGTERM');
    assert.equal((await ended(child)).code, 143);
    assert.equal(predicateOf(installation.receiptFile).outcome.signal, 'SIGTERM');
    assert.deepEqual(machinesOf(join(installation.dataDirectory, 'spool')), []);
  });

  it('takes its virtual machine along when it is killed', async () => {
    using installation = new Installation();
    const child = installation.start([...GUEST, '--', 'sh', '-c', 'echo ready; sleep 600'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await new Promise((resolve) => child.stdout?.once('readable', resolve));
    child.kill('SIGKILL');
    await ended(child);
    await until(() => machinesOf(join(installation.dataDirectory, 'spool')).length === 0);
    assert.equal(existsSync(installation.receiptFile), false);
  });
});

describe('glasshouse doctor', TIME_LIMIT, () => {
  it('has tried every backend', async () => {
    using installation = new Installation();
    const { code, stdout, stderr } = await installation.call(['doctor', '--json']);
    assert.deepEqual([code, stderr], [0, '']);
    const reports = JSON.parse(stdout) as {
      backend: string;
      verdict: string;
      detail: string;
      findings: string[];
    }[];
    assert.deepEqual(
      reports.map(({ backend }) => backend),
      ['process', 'firecracker', 'qemu', 'observation'],
    );
    assert.equal(reports[0]?.verdict, 'works');
    assert.match(reports[2]?.verdict ?? '', /^works(_without_acceleration)?$/);
    assert.match(reports[2]?.detail ?? '', /QEMU \d+\.\d+\.\d+ booted a guest on (kvm|tcg)/);
    // Whether it works is this machine's affair; that it was tried is ours.
    assert.match(reports[1]?.verdict ?? '', /^(works|cannot)$/);
    assert.equal(reports[1]?.findings.length, 7);
    assert.match(reports[3]?.verdict ?? '', /^(works|cannot)$/);
  });

  it('says what to do about a backend that cannot', async () => {
    using installation = new Installation();
    const { code, stdout } = await installation.call(['doctor', '--image-dir', 'no-image']);
    assert.equal(code, 125);
    assert.match(stdout, /^process: works$/m);
    assert.match(stdout, /^qemu: cannot$[^]*^ {2}to do {3}Run: glasshouse image build$/m);
  });

  it('says what to do about a data directory that cannot be made', async () => {
    using installation = new Installation();
    const { code, stderr } = await installation.call(['doctor'], {
      environment: { GLASSHOUSE_DATA_DIR: '/proc/glasshouse' },
    });
    assert.equal(code, 2);
    assert.match(
      stderr,
      /The data directory cannot be used: .*\/proc\/glasshouse.* Choose another one with --data-dir/,
    );
    assert.doesNotMatch(stderr, /\bat \S+ \(/, 'no stack: this is no defect of ours');
  });
});

describe('glasshouse image show', TIME_LIMIT, () => {
  it('says what the image consists of', async () => {
    using installation = new Installation();
    const image = JSON.parse(await installation.ok(['image', 'show', '--json'])) as {
      parts: Record<string, { sha256: string }>;
      packages: Record<string, string>;
    };
    assert.deepEqual(Object.keys(image.parts).sort(), ['initramfs', 'kernel', 'root']);
    const text = await installation.ok(['image', 'show']);
    for (const { sha256 } of Object.values(image.parts)) assert.ok(text.includes(sha256));
    assert.match(text, new RegExp(`${Object.keys(image.packages).length} packages`));
  });
});
