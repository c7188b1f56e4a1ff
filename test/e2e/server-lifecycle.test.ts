import assert from 'node:assert/strict';
import { appendFileSync, cpSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { defaultImageDirectory } from '../../src/images/locate.js';
import { type Statement } from '../../src/receipts/receipt.js';
import { ended, Installation } from '../cli/command-line.js';
import { ServerProcess, spawnServer, until } from './server-process.js';
import { assertNothingLeft, ENDLESS, outcomes, TIME_LIMIT, type Problem } from './server-support.js';

describe('a server that is told to stop while a program runs', TIME_LIMIT, () => {
  it('lets it end within the grace and answers', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, ['--shutdown-grace-ms', '60000']);
    const answer = server.answer({ code: 'import time\ntime.sleep(1)\nprint("done")' });
    await server.running();
    server.child.kill('SIGTERM');
    assert.equal((await answer).stdout, 'done\n');
    assert.equal(await server.exited, 0);
    assertNothingLeft(installation);
  });

  it('cancels it when the grace is over', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, ['--shutdown-grace-ms', '200']);
    const response = server.run(ENDLESS);
    await server.running();
    server.child.kill('SIGTERM');
    const problem = (await (await response).json()) as Problem;
    assert.deepEqual([problem.code, problem.execution_status], ['canceled', 'canceled']);
    assert.equal(await server.exited, 0);
    assert.deepEqual(
      (await outcomes(installation)).map(({ status, receipt_id: id }) => [status, id]),
      [['canceled', problem.receipt_id]],
    );
    assertNothingLeft(installation);
  });

  it('cancels it at once when it is told a second time', async () => {
    using installation = new Installation();
    // A grace that no test would wait for.
    await using server = await ServerProcess.start(installation, ['--shutdown-grace-ms', '86400000']);
    const response = server.run({ ...ENDLESS, timeout_ms: 300_000 });
    await server.running();
    server.child.kill('SIGTERM');
    await until(() => server.log.includes('stopping'));
    server.child.kill('SIGTERM');
    assert.equal(((await (await response).json()) as Problem).code, 'canceled');
    assert.equal(await server.exited, 0);
    assertNothingLeft(installation);
  });
});

describe('a server that is killed while a program runs', TIME_LIMIT, () => {
  it('takes its virtual machine with it; the next one closes the execution with a receipt', async () => {
    using installation = new Installation();
    {
      await using server = await ServerProcess.start(installation);
      const response = server.run(ENDLESS).catch(() => 'connection lost');
      await server.running();
      server.child.kill('SIGKILL');
      assert.equal(await server.exited, 'SIGKILL');
      assert.equal(await response, 'connection lost');
      await until(() => server.machines().length === 0);
    }
    assertNothingLeft(installation);

    await using next = await ServerProcess.start(installation);
    const { receipts } = (await next.getJson('/receipts')) as {
      receipts: { receipt_id: string; status: string }[];
    };
    assert.deepEqual(
      receipts.map(({ status }) => status),
      ['infra_error'],
    );
    const id = receipts[0]?.receipt_id ?? '';
    const statement = (await next.getJson(`/receipts/${id}?format=statement`)) as Statement;
    assert.equal(statement.predicate.outcome.error?.code, 'owner_died');
    const verified = await installation.call(['verify', '-'], {
      stdin: await next.getBytes(`/receipts/${id}`),
    });
    assert.equal(verified.code, 0);
    assert.equal((await next.answer({ code: 'print("alive")' })).stdout, 'alive\n');
  });
});

describe('a server that cannot start', TIME_LIMIT, () => {
  it('says clearly that the guest image is missing', async () => {
    using installation = new Installation();
    const nowhere = join(installation.directory, 'no-image');
    const { code, stdout, stderr } = await ended(spawnServer(installation, ['--image-dir', nowhere]));
    assert.deepEqual([code, stdout], [125, '']);
    assert.match(stderr, /glasshouse image build.*\[image_missing\]/);
  });

  it('refuses to run the code of strangers without isolation', async () => {
    using installation = new Installation();
    const { code, stderr } = await ended(spawnServer(installation, ['--backend', 'process']));
    assert.equal(code, 2);
    assert.match(stderr, /--backend auto/);
  });
});

describe('a server whose guest image is damaged while it serves', TIME_LIMIT, () => {
  it('says that it is unavailable once three executions have failed, and is available when one has run', async () => {
    using installation = new Installation();
    const image = join(installation.directory, 'image');
    cpSync(defaultImageDirectory(), image, { recursive: true });
    const root = join(image, readdirSync(image).find((name) => name.startsWith('root-')) ?? '');
    await using server = await ServerProcess.start(installation, [
      '--image-dir',
      image,
      '--snapshots',
      'off',
    ]);
    const health = async (): Promise<unknown> => {
      const response = await fetch(`${server.url}/health`);
      const { status, detail } = (await response.json()) as { status: string; detail: string | null };
      return [response.status, status, detail];
    };
    const codeOf = async (): Promise<string> =>
      ((await (await server.run({ code: 'print(1)' })).json()) as Problem).code;

    appendFileSync(root, 'x');
    assert.deepEqual(await health(), [200, 'ok', null]);
    assert.deepEqual([await codeOf(), await codeOf(), await codeOf()], Array(3).fill('image_corrupt'));
    assert.deepEqual(await health(), [
      503,
      'unavailable',
      'No program of the last 3 executions could be started (image_corrupt); their receipts say why.',
    ]);

    truncateSync(root, statSync(root).size - 1);
    assert.equal((await server.answer({ code: 'print("again")' })).stdout, 'again\n');
    assert.deepEqual(await health(), [200, 'ok', null]);
  });
});

describe('a server with clones that wait', TIME_LIMIT, () => {
  const POOL = ['--pool-size', '2', '--templates', 'on'];

  async function poolIsFull(server: ServerProcess): Promise<void> {
    await until(async () =>
      (await server.getBytes('/metrics')).toString().includes('\nglasshouse_pool_ready 2\n'),
    );
  }

  it('answers from one of them, says so in the receipt, and takes them all along when it stops', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, POOL);
    await poolIsFull(server);
    const answer = await server.answer({ code: 'print(2+2)' });
    assert.equal(answer.stdout, '4\n');
    const statement = (await server.getJson(`/receipts/${answer.receipt_id}?format=statement`)) as Statement;
    const { start, snapshot } = statement.predicate.execution;
    assert.equal(start, 'pooled');
    assert.match(snapshot?.sha256 ?? '', /^[0-9a-f]{64}$/);
    await poolIsFull(server);
    server.child.kill('SIGTERM');
    assert.equal(await server.exited, 0);
    assertNothingLeft(installation);
  });

  it('boots a machine for who asks for a fresh one', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, POOL);
    const answer = await server.answer({ code: 'print(2+2)', fresh: true });
    const statement = (await server.getJson(`/receipts/${answer.receipt_id}?format=statement`)) as Statement;
    assert.equal(statement.predicate.execution.start, 'cold');
  });

  it('takes along what clones are copied from, also where none waits', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, ['--templates', 'on']);
    await until(async () =>
      (await server.getBytes('/metrics')).toString().includes('\nglasshouse_pool_templates 1\n'),
    );
    assert.equal((await server.answer({ code: 'print(2+2)' })).stdout, '4\n');
    server.child.kill('SIGTERM');
    assert.equal(await server.exited, 0);
    assertNothingLeft(installation);
  });

  it('takes them along when it is killed', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, POOL);
    await poolIsFull(server);
    server.child.kill('SIGKILL');
    assert.equal(await server.exited, 'SIGKILL');
    await until(() => server.machines().length === 0);
    assertNothingLeft(installation);
  });
});
