import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { drawProcessTree } from '../../src/cli/process-tree.js';
import { differencesOf } from '../../src/cli/receipts-diff.js';
import { type Predicate } from '../../src/receipts/receipt.js';
import { observedPredicate } from '../receipts/observed-sample.js';

const textOf = (predicate: Predicate, all = false): string =>
  drawProcessTree(predicate, { all })
    .map(({ text }) => text)
    .join('\n');

/** A chain of `length` processes, each the child of the one before. */
function chain(length: number): Predicate {
  const observed = observedPredicate();
  const [first] = observed.process_tree;
  assert.ok(first !== undefined);
  const process_tree = Array.from({ length }, (_, index) => ({
    ...first,
    id: index + 1,
    parent: index === 0 ? null : index,
    pid: 10_000 + index,
  }));
  return { ...observed, process_tree };
}

describe('drawProcessTree', () => {
  it('draws each process below its parent, with its end and its deeds', () => {
    const lines = textOf(observedPredicate()).split('\n');
    assert.equal(lines[0], '4000 sh -c ./fetch  [exit 0, 123.0 ms]');
    const child = lines.findIndex((line) => line.includes('4001'));
    assert.match(lines[child] ?? '', /^└─ 4001 .*\[SIGTERM, 118\.0 ms\]$/);
    assert.ok(
      lines.slice(child + 1).some((line) => /^ {5,}.*connect tcp /.test(line)),
      'a connection below it',
    );
    assert.ok(
      lines.some((line) => /(?:read|write|create) \//.test(line)),
      'a file',
    );
  });

  it('draws once, below the tree, what several processes did: how much was of each is not known', () => {
    const observed = observedPredicate();
    assert.ok(observed.filesystem !== null);
    const [read] = observed.filesystem.reads;
    assert.ok(read !== undefined);
    const reads = [
      { ...read, path: '/of/both', processes: [1, 2], count: 6, bytes: 2_048 },
      { ...read, path: '/of/one', processes: [1], count: 0, bytes: 10 },
      { ...read, path: '/of/many', processes: [1, 2, 3, 4], count: 4, bytes: null },
    ];
    const lines = textOf({ ...observed, filesystem: { ...observed.filesystem, reads } }).split('\n');
    const shared = lines.indexOf('by several processes, all together');
    assert.deepEqual(
      lines.filter((line) => line.includes('/of/')),
      [
        '│   read /of/one  inherited, 10 bytes',
        '  read /of/both  6 times, 2.0 KiB, by 4000, 4001',
        '  read /of/many  4 times, by 4 processes',
      ],
    );
    assert.ok(lines.findIndex((line) => line.includes('/of/one')) < shared);
    assert.ok(lines.findIndex((line) => line.includes('/of/both')) > shared);
    assert.match(lines.join('\n'), /mkdir 0755 \/tmp\/d .*5 times, by processes that are not listed/);
  });

  it('says how much it leaves out, and leaves out nothing when it is asked not to', () => {
    const observed = observedPredicate();
    assert.ok(observed.filesystem !== null);
    const [read] = observed.filesystem.reads;
    assert.ok(read !== undefined);
    const reads = Array.from({ length: 40 }, (_, index) => ({
      ...read,
      path: `/f/${index}`,
      processes: [1],
    }));
    const many = { ...observed, filesystem: { ...observed.filesystem, reads } };
    assert.match(textOf(many), /and 28 files read more \(--all\)/);
    assert.ok(textOf(many, true).includes('/f/39'));
    assert.match(textOf(chain(250)), /and 50 processes more \(--all\)/);
    assert.equal(textOf(chain(250), true).match(/^.*\[exit 0/gm)?.length, 250);
  });

  it("shows what is the program's own before the libraries that all of them read", () => {
    const observed = observedPredicate();
    assert.ok(observed.filesystem !== null);
    const [read] = observed.filesystem.reads;
    assert.ok(read !== undefined);
    const paths = [...Array.from({ length: 30 }, (_, n) => `/usr/lib/lib${n}.so`), '/home/me/main.c'];
    const reads = paths.map((path) => ({ ...read, path, processes: [1] }));
    const lines = textOf({ ...observed, filesystem: { ...observed.filesystem, reads } }).split('\n');
    const own = lines.findIndex((line) => line.includes('read /home/me/main.c'));
    assert.ok(own > 0 && own < lines.findIndex((line) => line.includes('read /usr/lib/')));
    assert.equal(lines.filter((line) => line.includes('read /usr/lib/')).length, 3);
    assert.ok(lines.some((line) => line.includes('and 27 files read more (--all)')));
  });

  it('draws a very long chain without running out of stack', () => {
    assert.equal(textOf(chain(3_000), true).match(/\[exit 0/g)?.length, 3_000);
  });

  it('quotes arguments so that none can be taken for two', () => {
    const observed = observedPredicate();
    const [first] = observed.process_tree;
    assert.ok(first !== undefined);
    const images = first.images.map((image) => ({ ...image, argv: ['a b', "it's", '', '--x=1'] }));
    const text = textOf({ ...observed, process_tree: [{ ...first, images }] });
    assert.ok(text.includes(String.raw`4000 'a b' 'it'\''s' '' --x=1`));
  });
});

describe('differencesOf', () => {
  const a = observedPredicate();

  it('finds none between a receipt and itself', () => {
    assert.deepEqual(differencesOf(a, a), []);
  });

  it('says what only one of them did, and what both did otherwise', () => {
    assert.ok(a.filesystem !== null && a.syscalls !== null && a.network !== null);
    const b: Predicate = {
      ...a,
      outcome: { ...a.outcome, status: 'error', exit_code: 2 },
      request: { ...a.request, env_names: [...a.request.env_names, 'EXTRA'] },
      process_tree: a.process_tree.slice(0, 1),
      filesystem: { ...a.filesystem, reads: [] },
      network: { ...a.network, attempts: [], peers: [] },
      syscalls: { ...a.syscalls, counts: { ...a.syscalls.counts, getppid: 7 } },
    };
    const found = differencesOf(a, b);
    const named = (name: string): unknown => {
      const one = found.find((difference) => difference.name === name);
      return one === undefined ? null : [one.section, one.a, one.b, one.only];
    };
    assert.deepEqual(named('status'), ['outcome', 'ok', 'error', null]);
    assert.deepEqual(named('exit_code'), ['outcome', 0, 2, null]);
    assert.deepEqual(named('variable EXTRA'), ['environment', null, 'set', 'b']);
    assert.deepEqual(named('getppid'), ['syscalls', null, 7, 'b']);
    const only = (section: string): string[] =>
      found.filter((one) => one.section === section && one.only === 'a').map(({ name }) => name);
    assert.equal(only('files').length, a.filesystem.reads.length);
    assert.ok(only('network').some((name) => name.startsWith('connect ')));
    assert.equal(only('processes').length, 1);
    const mirrored = differencesOf(b, a);
    assert.equal(mirrored.length, found.length);
  });

  it('sees what makes two runs of one program different for whoever must trust them', () => {
    const { observation, syscalls, network } = a;
    const [first, ...others] = a.process_tree;
    const notable = syscalls?.notable[0];
    assert.ok(observation.level === 'host' && syscalls !== null && network !== null);
    assert.ok(first !== undefined && notable !== undefined);
    const [image] = first.images;
    assert.ok(image !== undefined);
    const withFirst = (changes: Partial<typeof first>): Partial<Predicate> => ({
      process_tree: [{ ...first, ...changes }, ...others],
    });
    const input = { path: 'in', sha256: 'a'.repeat(64), size_bytes: 1 };
    const withInput = (changes: object): Predicate => ({
      ...a,
      request: { ...a.request, input_files: [{ ...input, ...changes }] },
    });
    const changes: readonly Partial<Predicate>[] = [
      { execution: { ...a.execution, snapshot: { sha256: 'b'.repeat(64), age_ms: 1 } } },
      { observation: { ...observation, blind_spots: [...observation.blind_spots, 'another'] } },
      { observation: { ...observation, dropped: { file: 1 } } },
      { observation: { ...observation, omitted: { file: 1 } } },
      { observation: { ...observation, totals: null } },
      { observation: { ...observation, reason: 'another' } },
      { syscalls: { ...syscalls, notable: [{ ...notable, succeeded: notable.succeeded + 1 }] } },
      { network: { ...network, bytes_sent: 123_456 } },
      { observation: { ...observation, hooks: [] } },
      withFirst({ exit_code: 77 }),
      withFirst({ images: [{ ...image, executable: '/tmp/before' }, ...first.images] }),
      withFirst({ images: [{ ...image, script: '/tmp/script' }] }),
      withFirst({ images: [{ ...image, marks: [...image.marks, 'mount_namespace'] }] }),
      withFirst({ images: [{ ...image, euid: 4711 }] }),
      withFirst({ images: [{ ...image, privileged: !image.privileged }] }),
      withFirst({ images: [{ ...image, executable: '/tmp/other' }] }),
      withFirst({ images: [{ ...image, cwd: '/other' }] }),
    ];
    for (const change of changes)
      assert.notDeepEqual(differencesOf(a, { ...a, ...change }), [], JSON.stringify(change).slice(0, 200));
    assert.notDeepEqual(differencesOf(withInput({}), withInput({ size_bytes: 2 })), []);
    const as = (...users: readonly number[]): Predicate => ({
      ...a,
      process_tree: users.map((uid, index) => ({ ...first, id: index + 1, images: [{ ...image, uid }] })),
    });
    assert.notDeepEqual(differencesOf(as(0, 1, 1), as(0, 0, 1)), []);
    assert.deepEqual(differencesOf(as(0, 1), as(1, 0)), []);
    const bytes = withInput({ path: { base64: '/w==' } });
    assert.notDeepEqual(differencesOf(bytes, withInput({ path: 'base64:/w==' })), []);
  });
});
