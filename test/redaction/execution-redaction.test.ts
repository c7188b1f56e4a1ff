import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { findInconsistency } from '../../src/receipts/consistency.js';
import { type Predicate } from '../../src/receipts/receipt.js';
import { buildStatement, signStatement } from '../../src/receipts/statement.js';
import { ExecutionRedaction } from '../../src/redaction/execution-redaction.js';
import { observedPredicate } from '../receipts/observed-sample.js';
import { samplePredicate, SIGNER } from '../receipts/sample.js';
import { sampleRedactor } from './sample-redactor.js';

const SECRET = 'observed-Word-01';
const redactor = sampleRedactor();
const mark = redactor.mark(Buffer.from(SECRET));

function redactionOf(environment: Record<string, string>, argv: string[] = []): ExecutionRedaction {
  return new ExecutionRedaction(redactor, { environment, argv });
}

/** The predicate with the secret in every text of its observation. */
function withSecretEverywhere(predicate: Predicate): Predicate {
  const planted = JSON.stringify(predicate, (name, value: unknown) =>
    typeof value === 'string' && OBSERVED_TEXTS.has(name) ? `${value}${SECRET}` : value,
  );
  const parsed = JSON.parse(planted) as Predicate;
  return {
    ...predicate,
    process_tree: parsed.process_tree.map((process) => ({
      ...process,
      images: process.images.map((image) => ({ ...image, argv: [...image.argv, SECRET] })),
    })),
    filesystem: parsed.filesystem,
    network: parsed.network,
  };
}
const OBSERVED_TEXTS = new Set([
  'path',
  'from',
  'to',
  'target',
  'executable',
  'script',
  'cwd',
  'address',
  'name',
]);

describe('ExecutionRedaction', () => {
  it('takes a secret of the caller out of every text of an observation, and lists where', async () => {
    const planted = withSecretEverywhere(observedPredicate());
    const count = JSON.stringify(planted).split(SECRET).length - 1;
    assert.ok(count > 10);
    const redacted = redactionOf({ DEPLOY_TOKEN: SECRET }).predicate(planted);
    const text = JSON.stringify(redacted);
    assert.ok(!text.includes(SECRET));
    assert.equal(text.split(mark).length - 1, count);
    assert.equal(redacted.redaction?.fields.length, count);
    assert.ok(redacted.redaction.fields.includes('/process_tree/0/images/0/argv/3'));
    await signStatement(buildStatement(redacted), SIGNER); // refuses what no verifier would accept
  });

  it('redacts the arguments of every process by their own flags', () => {
    const observed = observedPredicate();
    const [first] = observed.process_tree;
    assert.ok(first !== undefined);
    const images = first.images.map((image) => ({ ...image, argv: ['sshpass', '-p', 'short'] }));
    const redacted = redactionOf({}).predicate({ ...observed, process_tree: [{ ...first, images }] });
    assert.deepEqual(redacted.process_tree[0]?.images[0]?.argv, [
      'sshpass',
      '-p',
      redactor.mark(Buffer.from('short')),
    ]);
  });

  it('learns nothing from what it observes: a program cannot have its deeds hidden', () => {
    const observed = observedPredicate();
    const [first] = observed.process_tree;
    assert.ok(first !== undefined && observed.filesystem !== null);
    const images = first.images.map((image) => ({ ...image, argv: ['x', '--token', '/etc/shadow'] }));
    const redacted = redactionOf({}).predicate({
      ...observed,
      process_tree: [{ ...first, images }],
      filesystem: {
        ...observed.filesystem,
        reads: observed.filesystem.reads.map((read) => ({ ...read, path: '/etc/shadow' })),
      },
    });
    assert.equal(redacted.filesystem?.reads[0]?.path, '/etc/shadow');
  });

  it('does not sweep for words that are too short to be told from others', () => {
    const redaction = redactionOf({ API_TOKEN: 'python' });
    assert.equal(redaction.path('/usr/bin/python'), '/usr/bin/python');
    assert.equal(redaction.message('--token python'), `--token ${redactor.mark(Buffer.from('python'))}`);
  });
});

describe('an event that is shown live', () => {
  const redaction = redactionOf({ DEPLOY_TOKEN: SECRET, OTHER_TOKEN: 'inherited' });

  it('loses the secret of the caller from every text, bytes and nested ends included, and keeps its shape', () => {
    const bytes = { base64: Buffer.from(`\xff${SECRET}`, 'latin1').toString('base64') };
    const event = {
      event: 'change',
      at_us: 17,
      pid: 4,
      path: `/tmp/${SECRET}`,
      to: bytes,
      own: { address: `/run/${SECRET}`, port: null },
      marks: ['truncated'],
      exchange: false,
    };
    assert.deepEqual(redaction.event(event), {
      ...event,
      path: `/tmp/${mark}`,
      to: { base64: Buffer.from(`\xff${mark}`, 'latin1').toString('base64') },
      own: { address: `/run/${mark}`, port: null },
    });
  });

  it('has the arguments redacted by their own flags', () => {
    assert.deepEqual(redaction.event({ argv: ['sshpass', '-p', 'short', `x${SECRET}`] }), {
      argv: ['sshpass', '-p', redactor.mark(Buffer.from('short')), `x${mark}`],
    });
  });

  it('keeps the words of ours, also when a secret is the same', () => {
    const event = { event: 'file', how: 'inherited', access: 'read', path: '/inherited' };
    const inherited = redactor.mark(Buffer.from('inherited'));
    assert.deepEqual(redaction.event(event), { ...event, path: `/${inherited}` });
  });
});

describe('the list of redacted fields', () => {
  const redacted = redactionOf({}).predicate({
    ...samplePredicate(),
    request: { ...samplePredicate().request, argv: [`--token=${mark}`] },
  });

  it('is that of the texts that have marks, or the receipt contradicts itself', () => {
    assert.deepEqual(redacted.redaction?.fields, ['/request/argv/0']);
    assert.equal(findInconsistency(buildStatement(redacted)), null);
    for (const fields of [[], ['/request/argv/1'], ['/request/argv/0', '/request/argv/0']]) {
      const claimed = { ...redacted, redaction: { key_id: redactor.keyId, fields } };
      assert.match(findInconsistency(buildStatement(claimed)) ?? '', /redacted fields/);
    }
  });

  it('may be missing in a receipt of before, if that has no marks', () => {
    assert.equal(findInconsistency(buildStatement(samplePredicate())), null);
    const { redaction: _, ...without } = redacted;
    assert.match(findInconsistency(buildStatement(without)) ?? '', /redacted fields/);
  });
});
