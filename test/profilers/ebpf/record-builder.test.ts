import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { findObservedContradiction } from '../../../src/receipts/observed-consistency.js';
import { buildStatement } from '../../../src/receipts/statement.js';
import { STATEMENT_SCHEMA } from '../../../src/receipts/statement-schema.js';
import { type JsonValue } from '../../../src/receipts/json-value.js';
import { PATH_FLAGS } from '../../../src/profilers/ebpf/observer-message.js';
import { type Observed } from '../../../src/profilers/profiler.js';
import { observedPredicate } from '../../receipts/observed-sample.js';
import {
  addressBytes,
  changeFrame,
  doersFrame,
  endFrame,
  execFrames,
  fileFrame,
  fileSumFrame,
  fileTotalsFrame,
  head,
  headBytes,
  inetAddress,
  named,
  openFailedSumFrame,
  operandBytes,
  overFrame,
  processFrame,
  type Script,
  socketFrame,
  SUM_FLAGS,
  u16,
  u32,
  u64,
} from './frames.js';
import { observedFrom } from './support.js';

const at = (
  directory: string,
  name: string,
): { directory: ReturnType<typeof named>; name: ReturnType<typeof named> } => ({
  directory: named(directory),
  name: named(name),
});

const syscalls = (
  ...calls: readonly (readonly [number, number, number, number, number])[]
): Script[number] => [
  'syscalls',
  Buffer.concat(
    calls.map(([number, ...counts]) => Buffer.concat([u16(0), u16(number), u32(0), ...counts.map(u64)])),
  ),
];

/** A receipt with these parts verifies. */
function assertVerifies(observed: Observed): void {
  const predicate = observedPredicate({
    process_tree: observed.processTree,
    filesystem: observed.filesystem,
    network: observed.network,
    syscalls: observed.syscalls,
    observation: observed.observation,
    resources: observed.resources,
  });
  const json = JSON.parse(JSON.stringify(buildStatement(predicate))) as JsonValue;
  assert.equal(STATEMENT_SCHEMA(json, 'statement'), null);
  assert.equal(findObservedContradiction(predicate), null);
}

describe('the process tree of a receipt', () => {
  const observed = observedFrom([
    processFrame(10, null),
    ...execFrames(10, '/usr/bin/dash', ['sh', './job'], { flags: 1, script: './job' }),
    processFrame(11, 10),
    ...execFrames(11, '/usr/bin/sleep', ['sleep', '1']),
    endFrame(11, 0, 15),
    endFrame(10, 3),
  ]);

  it('has parents, programs, arguments and ends', () => {
    const [first, second] = observed.processTree;
    assert.deepEqual([first?.id, first?.parent, first?.exit_code, first?.signal], [1, null, 3, null]);
    assert.deepEqual(
      [second?.id, second?.parent, second?.exit_code, second?.signal],
      [2, 1, null, 'SIGTERM'],
    );
    const image = first?.images[0];
    assert.deepEqual(
      [image?.executable, image?.script, image?.argv],
      ['/usr/bin/dash', './job', ['sh', './job']],
    );
    assert.deepEqual([second?.images[0]?.script, second?.images[0]?.argv_complete], [null, true]);
    assertVerifies(observed);
  });

  it('is complete when nothing was lost', () => {
    assert.equal(observed.observation.complete, true);
    assert.equal(observed.observation.reason, null);
  });

  it('tells processes apart that had the same pid one after the other', () => {
    const again: Script[number] = [
      'process',
      Buffer.concat([headBytes({ ...head(11), birthNs: 77 }), u64(10_000), u32(10), u32(11), u32(0)]),
    ];
    const { processTree } = observedFrom([processFrame(10, null), processFrame(11, 10), endFrame(11), again]);
    assert.deepEqual(
      processTree.map(({ pid, parent }) => [pid, parent]),
      [
        [10, null],
        [11, 1],
        [11, 1],
      ],
    );
  });

  it('says that arguments are not complete when a frame of them is missing', () => {
    const [exec] = execFrames(10, '/bin/x', ['x', 'y']);
    assert.ok(exec !== undefined);
    const { processTree } = observedFrom([processFrame(10, null), exec, endFrame(10)]);
    assert.deepEqual(processTree[0]?.images[0]?.argv_complete, false);
    assert.deepEqual(processTree[0].images[0].argv, []);
  });

  it('knows a process whose start was lost from its first deed on', () => {
    const { processTree } = observedFrom([fileFrame(12, named('/x'))]);
    assert.deepEqual([processTree[0]?.pid, processTree[0]?.ended_us], [12, null]);
  });

  it('leaves out what a receipt has no room for, and counts it', () => {
    const count = 60_000;
    const script = Array.from({ length: count }, (_, index) => [
      processFrame(100 + index, 10),
      endFrame(100 + index),
    ]);
    const many = observedFrom([processFrame(10, null), ...script.flat()]);
    const omitted = many.observation.omitted['processes'] ?? 0;
    assert.ok(omitted > 0);
    assert.equal(many.processTree.length + omitted, count + 1);
    assert.equal(many.observation.complete, false);
    assertVerifies(many);
  });
});

describe('the files of a receipt', () => {
  const O_RDWR = 2;
  const O_WRONLY = 1;

  it('adds up what many opens of one path come to', () => {
    const { filesystem } = observedFrom([
      processFrame(10, null),
      fileFrame(10, named('/lib/x'), { file: 1 }),
      fileTotalsFrame(10, 1, { opens: 5, read: 100, written: 0 }),
      endFrame(10),
      processFrame(11, null),
      fileFrame(11, named('/lib/x'), { file: 1 }),
      fileTotalsFrame(11, 1, { opens: 1, read: 20, written: 0 }),
    ]);
    assert.deepEqual(filesystem.reads, [
      { path: '/lib/x', marks: [], processes: [1, 2], count: 6, bytes: 120, created: false },
    ]);
    assert.deepEqual([filesystem.bytes_read, filesystem.bytes_written], [120, 0]);
  });

  it('are the same whether the observer added up what processes did or told it one by one', () => {
    const oneByOne = observedFrom([
      processFrame(10, null),
      processFrame(11, 10),
      fileFrame(10, named('/lib/x'), { file: 1 }),
      fileFrame(11, named('/lib/x'), { file: 2 }),
      fileFrame(11, named('/out', PATH_FLAGS.chroot), { file: 3, flags: O_WRONLY, how: 3 }),
      fileFrame(11, named('/dev/null'), { file: 4, flags: O_RDWR, mode: 0o020666 }),
      ...[10, 11, 11].map((pid): Script[number] => [
        'open_failed',
        Buffer.concat([headBytes(head(pid)), u32(13), u32(0), operandBytes(at('/etc', 'no'))]),
      ]),
      fileTotalsFrame(10, 1, { opens: 5, read: 100, written: 0 }),
      fileTotalsFrame(11, 2, { opens: 1, read: 20, written: 0 }),
      fileTotalsFrame(11, 3, { opens: 1, read: 0, written: 9 }),
      fileTotalsFrame(11, 4, { opens: 2, read: 1, written: 2 }),
      endFrame(11),
      endFrame(10),
    ]);
    const { read, written, created, regular } = SUM_FLAGS;
    const addedUp = observedFrom([
      processFrame(10, null),
      processFrame(11, 10),
      doersFrame([11, 10], 11),
      fileSumFrame(named('/lib/x'), read | regular, { read: 120, written: 0 }, [0, 1, 1, 5]),
      fileSumFrame(
        named('/out', PATH_FLAGS.chroot),
        written | created | regular,
        { read: 0, written: 9 },
        [0, 1],
      ),
      fileSumFrame(named('/dev/null'), read | written, { read: 1, written: 2 }, [0, 2]),
      openFailedSumFrame(13, named('/etc/no'), [1, 1, 0, 1, 0, 1]),
      endFrame(11),
      endFrame(10),
    ]);
    assert.deepEqual(addedUp, oneByOne);
    assert.equal(addedUp.observation.complete, true);
    assertVerifies(addedUp);
  });

  it('has a file that was opened for both among reads and writes', () => {
    const { filesystem } = observedFrom([
      processFrame(10, null),
      fileFrame(10, named('/tmp/db'), { flags: O_RDWR, how: 3 }),
      fileTotalsFrame(10, 7, { opens: 1, read: 4, written: 9 }),
    ]);
    assert.deepEqual([filesystem.reads[0]?.bytes, filesystem.reads[0]?.created], [4, false]);
    assert.deepEqual([filesystem.writes[0]?.bytes, filesystem.writes[0]?.created], [9, true]);
  });

  it('says that bytes are not known when no totals came', () => {
    const { filesystem } = observedFrom([
      processFrame(10, null),
      fileFrame(10, named('/a'), { file: 1 }),
      endFrame(10),
      fileFrame(10, named('/b'), { file: 0, flags: O_WRONLY }),
    ]);
    assert.deepEqual([filesystem.reads[0]?.bytes, filesystem.writes[0]?.bytes], [null, null]);
    assert.equal(filesystem.bytes_read, null);
  });

  it('counts no open where the file was inherited, and leaves out pipes', () => {
    const { filesystem } = observedFrom([
      processFrame(10, null),
      fileFrame(10, named('/dev/pts/0'), { file: 1, flags: O_RDWR, how: 2, mode: 0o020620 }),
      fileFrame(10, named('/pipe:[1]', PATH_FLAGS.detached), { file: 2, how: 2, mode: 0o010600 }),
      fileFrame(10, named('/memfd:x', PATH_FLAGS.detached), { file: 3, how: 2 }),
    ]);
    assert.deepEqual(
      filesystem.reads.map(({ path, count, marks }) => [path, count, marks]),
      [
        ['/dev/pts/0', 0, []],
        ['/memfd:x', 0, ['detached']],
      ],
    );
  });

  it('keeps names that are no UTF-8, and marks', () => {
    const path = { bytes: Buffer.from([0x2f, 0xff]), flags: PATH_FLAGS.chroot | PATH_FLAGS.deleted };
    const observed = observedFrom([processFrame(10, null), fileFrame(10, path)]);
    assert.deepEqual(observed.filesystem.reads[0]?.path, { base64: 'L/8=' });
    assert.deepEqual(observed.filesystem.reads[0].marks, ['chroot', 'deleted']);
    assertVerifies(observed);
  });

  it('has deletions, renames, links and changes, each where it happened', () => {
    const observed = observedFrom([
      processFrame(10, null),
      changeFrame(10, 2, at('/work', './a//b')),
      changeFrame(10, 2, at('/work', './a//b')),
      changeFrame(10, 3, at('/work/sub', '../d')),
      changeFrame(10, 1, at('/work', 'old'), { second: at('/', '/new'), detail: 2 }),
      changeFrame(10, 5, at('/work', 'from'), { second: at('/work', 'to') }),
      changeFrame(10, 6, at('/work', 'link'), { second: at('', '../there') }),
      changeFrame(10, 7, at('/work', 'x'), { detail: 0o755 }),
    ]);
    const { deletes, renames, changes } = observed.filesystem;
    assert.deepEqual(
      deletes.map(({ path, count, directory }) => [path, count, directory]),
      [
        ['/work/a/b', 2, false],
        ['/work/d', 1, true],
      ],
    );
    assert.deepEqual(
      renames.map(({ from, to, exchange }) => [from, to, exchange]),
      [['/work/old', '/new', true]],
    );
    assert.deepEqual(
      changes.map(({ operation, path, target, value }) => [operation, path, target, value]),
      [
        ['link', '/work/to', '/work/from', null],
        ['symlink', '/work/link', '../there', null],
        ['chmod', '/work/x', null, '0755'],
      ],
    );
    assertVerifies(observed);
  });

  it('has what failed under its own heading', () => {
    const { filesystem } = observedFrom([
      processFrame(10, null),
      changeFrame(10, 2, at('/work', 'x'), { errno: 13 }),
      ['open_failed', Buffer.concat([headBytes(head(10)), u32(2), u32(0), operandBytes(at('/work', 'y'))])],
    ]);
    assert.deepEqual(filesystem.deletes, []);
    assert.deepEqual(
      filesystem.failures.map(({ operation, path, error }) => [operation, path, error]),
      [
        ['delete', '/work/x', 'EACCES'],
        ['open', '/work/y', 'ENOENT'],
      ],
    );
  });
});

describe('the network of a receipt', () => {
  const given = inetAddress('127.0.0.1', 8_080);

  it('has connections with their outcome, once each', () => {
    const { network } = observedFrom([
      processFrame(10, null),
      socketFrame(10, 1, { given, errno: 115, socket: 1 }),
      socketFrame(10, 6, { errno: 111, socket: 1 }),
      socketFrame(10, 1, { given, socket: 2 }),
      socketFrame(10, 1, { given, errno: 115, socket: 3 }),
    ]);
    assert.deepEqual(
      network.attempts.map(({ operation, address, port, error }) => [operation, address, port, error]),
      [
        ['connect', '127.0.0.1', 8_080, 'ECONNREFUSED'],
        ['connect', '127.0.0.1', 8_080, null],
        ['connect', '127.0.0.1', 8_080, 'EINPROGRESS'],
      ],
    );
  });

  it('has bytes each way by peer', () => {
    const totals: Script[number] = [
      'peer_totals',
      Buffer.concat([
        headBytes(head(10)),
        ...[9, 1, 2, 30, 40].map(u64),
        u16(2),
        u16(1),
        addressBytes(given),
      ]),
    ];
    const { network } = observedFrom([processFrame(10, null), socketFrame(10, 5, { given }), totals]);
    const [peer] = network.peers;
    assert.deepEqual(
      [peer?.protocol, peer?.count, peer?.bytes_sent, peer?.bytes_received],
      ['tcp', 3, 30, 40],
    );
    assert.deepEqual([network.bytes_sent, network.bytes_received], [30, 40]);
  });

  it('does not pretend to know bytes whose totals never came', () => {
    const { network } = observedFrom([processFrame(10, null), socketFrame(10, 5, { given })]);
    assert.deepEqual([network.peers[0]?.count, network.peers[0]?.bytes_sent], [0, null]);
  });
});

describe('the system calls of a receipt', () => {
  it('are counted by name, denied ones apart', () => {
    const { syscalls: calls } = observedFrom([
      syscalls([0, 12, 0, 0, 0], [165, 2, 2, 2, 0], [9_999, 1, 0, 0, 0]),
    ]);
    assert.deepEqual(calls.counts, { read: 12, mount: 2, syscall_9999: 1 });
    assert.deepEqual(calls.denied, [{ name: 'mount', error: 'EPERM', count: 2 }]);
  });
});

describe('what a receipt says of the observation itself', () => {
  it('names what was lost, and that it is not complete', () => {
    const end = overFrame([
      [2, 71, 4],
      [3, 10, 1],
      [3, 99, 2],
    ]);
    const { observation, filesystem } = observedFrom([processFrame(10, null)], end);
    assert.deepEqual(observation.dropped, { gap_99: 2, io_uring: 1, lost_file: 4 });
    assert.deepEqual([observation.complete, observation.blind_spots], [false, ['io_uring']]);
    assert.equal(filesystem.bytes_read, null);
  });
});
