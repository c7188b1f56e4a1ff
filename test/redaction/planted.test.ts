import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';

import { ProcessBackend } from '../../src/backends/process/process-backend.js';
import { loadConfiguration } from '../../src/config/load.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { encodeBundle, parseReceiptFile } from '../../src/receipts/bundle.js';
import { type Predicate } from '../../src/receipts/receipt.js';
import { redactLogLine } from '../../src/redaction/redact-log.js';
import { RedactionRules } from '../../src/redaction/redaction-rules.js';
import { Redactor } from '../../src/redaction/redactor.js';
import { createServer } from '../../src/server/server.js';
import { surroundings } from '../config/surroundings.js';
import { PATH, ScratchDirectory } from '../contract/subject.js';
import { Laboratory } from '../hostile/laboratory.js';
import { PLANTED, PLANTED_SETTINGS, type PlantedSecret } from './planted-secrets.js';

const config = loadConfiguration({
  flags: { port: '0', data_dir: '/nonexistent', log_level: 'trace', ...PLANTED_SETTINGS },
  configFile: null,
  surroundings: surroundings(),
});
const redactor = new Redactor(Buffer.alloc(32, 3), new RedactionRules(config));

let scratch: ScratchDirectory;
let laboratory: Laboratory;
before(() => {
  scratch = new ScratchDirectory();
  laboratory = new Laboratory(scratch, new ProcessBackend(), redactor);
});
after(() => {
  laboratory[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

/** `true` with the planted arguments, and the same arguments for a command that does not exist. */
async function runBoth(planted: PlantedSecret): Promise<CompletedExecution[]> {
  const environment = { PATH, PLAIN: 'nothing secret', ...planted.environment };
  return [
    await laboratory.run({ program: { kind: 'command', argv: ['true', ...planted.argv] }, environment }),
    await laboratory.run({
      program: { kind: 'command', argv: [`./${planted.argv.join(' ')}`, ...planted.argv] },
      environment,
    }),
  ];
}

/** As it stands, and as it stands inside JSON. */
function assertNotIn(bytes: Uint8Array, secrets: readonly string[], place: string): void {
  for (const secret of secrets) {
    for (const form of [secret, JSON.stringify(secret).slice(1, -1)])
      assert.ok(!Buffer.from(bytes).includes(form), `${place} has ${form}`);
  }
}

describe('planted secrets', () => {
  const ids: string[] = [];

  for (const planted of PLANTED)
    it(`${planted.kind}: does not get into the receipt, and the receipt says so`, async () => {
      for (const { receiptId, error } of await runBoth(planted)) {
        ids.push(receiptId);
        const predicate = await laboratory.verified(receiptId);
        assertNotIn(Buffer.from(JSON.stringify(predicate)), planted.secrets, 'the receipt');
        assertNotIn(Buffer.from(error?.message ?? ''), planted.secrets, 'the message');
        const fields = predicate.redaction?.fields ?? [];
        assert.ok(
          fields.some((field) => field.startsWith('/request/argv/')),
          'argv has a mark',
        );
        assert.equal(predicate.redaction?.key_id, redactor.keyId);
      }
    });

  it('are at least 40 kinds', () => {
    assert.ok(new Set(PLANTED.map(({ kind }) => kind)).size >= 40);
  });

  it('are in no byte that is stored: database, write-ahead log, envelopes', () => {
    const all = PLANTED.flatMap(({ secrets }) => secrets);
    const directory = join(scratch.path, 'data');
    const files = readdirSync(directory);
    assert.ok(files.includes('glasshouse.db-wal'));
    for (const file of files) assertNotIn(readFileSync(join(directory, file)), all, file);
    for (const id of ids) {
      const { payload } = parseReceiptFile(laboratory.store.get(id)?.envelope ?? Buffer.alloc(0)).envelope;
      assertNotIn(payload, all, `the payload of ${id}`);
    }
  });

  it('are in no answer over HTTP and in no line of the log', async () => {
    const all = PLANTED.flatMap(({ secrets }) => secrets);
    const lines: string[] = [];
    const write = (line: string): number => lines.push(redactLogLine(line, redactor));
    const logger = pino({ level: 'trace' }, { write });
    await using server = await createServer({
      engine: laboratory.engine,
      store: laboratory.store,
      log: laboratory.store.log,
      encodeBundle: ({ receiptId, envelope }) => encodeBundleOf(receiptId, envelope),
      backendStatus: () => ({ ready: true, detail: null, description: null }),
      config,
      logger,
      version: '1.2.3',
    });
    const url = await server.listen();
    const paths = ids.flatMap((id) =>
      ['', '?format=dsse', '?format=statement', '/stdout'].map((rest) => `/receipts/${id}${rest}`),
    );
    for (const path of ['/receipts?limit=200', ...paths]) {
      const body = Buffer.from(await (await fetch(url + path)).arrayBuffer());
      assert.ok(body.length > 0 || path.endsWith('/stdout'));
      assertNotIn(body, all, path);
    }
    for (const { argv, environment } of PLANTED) {
      // Whatever a dependency may put into an error that we log.
      const err = new Error(
        `cannot start ${argv.join(' ')}: ${Object.entries(environment).flat().join('=')}`,
      );
      logger.error({ err, ...environment }, 'request failed');
    }
    assertNotIn(Buffer.from(lines.join('')), inMessages(), 'the log');
    assert.ok(lines.length >= PLANTED.length);
  });
});

function encodeBundleOf(receiptId: string, envelopeBytes: Uint8Array): Uint8Array {
  const proof = laboratory.store.proofOf(receiptId);
  assert.ok(proof !== null, 'it is in the log');
  return encodeBundle({ receiptId, envelopeBytes }, laboratory.publicKeyPem, proof);
}

/** In a message that is not of one execution, a secret is known by what stands around it alone. */
function inMessages(): readonly string[] {
  return PLANTED.filter(({ environment }) => Object.keys(environment).length === 0).flatMap(
    ({ secrets }) => secrets,
  );
}

describe('a recorded variable', () => {
  it('has its value in the receipt, or the mark of it', async () => {
    const completed = await laboratory.run({
      environment: { PATH, PLAIN: 'nothing secret', RECORDED_PASSWORD: 'word', OTHER: 'x' },
    });
    const predicate: Predicate = await laboratory.verified(completed.receiptId);
    assert.deepEqual(JSON.parse(JSON.stringify(predicate.request.env_values)), [
      { name: 'PLAIN', value: 'nothing secret' },
      { name: 'RECORDED_PASSWORD', value: redactor.mark(Buffer.from('word')) },
    ]);
    assert.deepEqual(predicate.redaction?.fields, ['/request/env_values/1/value']);
  });
});
