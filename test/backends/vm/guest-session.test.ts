import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';

import { type ExecutionSpec, type Program } from '../../../src/backends/backend.js';
import {
  describeExecution,
  describeHeldInterpreter,
  describeRehearsal,
  suitsHeldInterpreter,
} from '../../../src/backends/vm/guest-session.js';
import { type HostMessage } from '../../../src/guest-link/host-message.js';
import { commandSpec, LIMITS } from '../../contract/subject.js';

const PYTHON: Program = { kind: 'python', code: 'print(4)\n', args: ['one', ''] };

function specWith(environment: Readonly<Record<string, string>>, program: Program = PYTHON): ExecutionSpec {
  return commandSpec(['true'], { program, environment });
}

describe('a held interpreter', () => {
  for (const environment of [
    {},
    { PATH: '/bin', HOME: '/tmp', USER: 'x', TERM: 'dumb', TMPDIR: '/tmp' },
    { LD: 'x', MY_PYTHONPATH: 'x', TZDIR: 'x', python: 'x', PYTHO: 'x', GLASSHOUSE_HOLD: '3' },
  ]) {
    it(`does for ${Object.keys(environment).join(', ') || 'no variables'}`, () => {
      assert.equal(suitsHeldInterpreter(specWith(environment)), true);
    });
  }

  for (const name of [
    ...[
      'PYTHONHASHSEED',
      'PYTHONPATH',
      'PYTHONHOME',
      'PYTHONUTF8',
      'PYTHONSTARTUP',
      'PYTHONMALLOC',
      'PYTHON_NEW',
    ],
    ...['LC_ALL', 'LC_CTYPE', 'LANG', 'LANGUAGE', 'LD_PRELOAD', 'LD_LIBRARY_PATH', 'TZ'],
    ...['GLIBC_TUNABLES', 'MALLOC_ARENA_MAX'],
  ]) {
    it(`does not for ${name}, which it has read when it started`, () => {
      assert.equal(suitsHeldInterpreter(specWith({ [name]: '' })), false);
    });
  }

  it('does not for modules of the user, which it has looked for when it started', () => {
    const content = Buffer.from('print(1)\n');
    const files = (path: string): ExecutionSpec => ({
      ...specWith({}),
      inputFiles: [{ path, content, executable: false }],
    });
    const modules = '.local/lib/python3.11/site-packages/usercustomize.py';
    assert.equal(suitsHeldInterpreter(files(modules)), false);
    assert.equal(suitsHeldInterpreter(files(`home/${modules}`)), false);
    assert.equal(suitsHeldInterpreter(files('local/lib.py')), true);
  });

  it('does not for a program that is a zip archive as well, which it has looked at when it waited', () => {
    const code = `print(1) # PK\x05\x06${'\0'.repeat(18)}`;
    assert.equal(suitsHeldInterpreter(specWith({}, { kind: 'python', code, args: [] })), false);
  });

  it('does not for a command', () => {
    assert.equal(
      suitsHeldInterpreter(specWith({}, { kind: 'command', argv: ['python3', 'code.py'] })),
      false,
    );
  });
});

const typesOf = (messages: Iterable<HostMessage>): string[] => [...messages].map(({ type }) => type);
const BEGINNING = ['clock', 'entropy', 'limits'];

describe('the description of a program', () => {
  it('is the same whether it starts or is released, apart from the order', () => {
    const words = (order: 'start' | 'release'): HostMessage[] =>
      [...describeExecution(specWith({ A: 'b' }), 10, order)].filter(
        ({ type }) => type !== 'entropy' && type !== 'clock',
      );
    const [start, release] = [words('start'), words('release')];
    assert.deepEqual(start.splice(-2, 1), [{ type: 'start' }]);
    assert.deepEqual(release.splice(-2, 1), [{ type: 'release' }]);
    assert.deepEqual(release, start);
  });

  it('ends stdin with the order where nothing comes on it, and not where something does', () => {
    assert.deepEqual(typesOf(describeExecution(specWith({}), 10, 'start')).slice(-2), ['start', 'stdin_end']);
    const fed = { ...specWith({}), stdin: Readable.from([Buffer.from('x')]) };
    assert.equal(typesOf(describeExecution(fed, 10, 'start')).at(-1), 'start');
  });

  it('gives each program a time and entropy of its own', () => {
    const entropyOf = (): string => {
      const [clock, entropy] = describeExecution(specWith({}), 10, 'release');
      assert.ok(clock?.type === 'clock' && entropy?.type === 'entropy');
      assert.ok(Math.abs(Number(clock.nanoseconds / 1_000_000n) - Date.now()) < 60_000);
      return Buffer.from(entropy.bytes).toString('hex');
    };
    assert.notEqual(entropyOf(), entropyOf());
    assert.equal(entropyOf().length, 128);
  });

  it('of one that is to be held names the interpreter and where it waits, and no file', () => {
    const messages = [...describeHeldInterpreter(LIMITS.memoryMb, LIMITS.pids)];
    assert.deepEqual(typesOf(messages).slice(0, 3), BEGINNING);
    assert.deepEqual(
      messages.filter(({ type }) => type === 'argument'),
      ['python3', '/workspace/code.py'].map((value) => ({ type: 'argument', value })),
    );
    assert.ok(
      messages.some((message) => message.type === 'environment' && message.name === 'GLASSHOUSE_HOLD'),
    );
    assert.equal(typesOf(messages).includes('file'), false);
    assert.equal(typesOf(messages).at(-1), 'hold');
  });

  it('of a rehearsal has our code and says nothing of holding', () => {
    const messages = [...describeRehearsal('print(4)', LIMITS.memoryMb, LIMITS.pids)];
    assert.deepEqual(typesOf(messages).slice(0, 3), BEGINNING);
    assert.deepEqual(typesOf(messages).slice(-4), ['file', 'file_data', 'rehearse', 'stdin_end']);
    assert.equal(
      messages.some((message) => message.type === 'environment' && message.name === 'GLASSHOUSE_HOLD'),
      false,
    );
  });

  it('cuts a long file into pieces that a frame holds', () => {
    const code = 'x'.repeat(150_000);
    const sizes = [
      ...describeExecution(specWith({}, { kind: 'python', code, args: [] }), 10, 'start'),
    ].flatMap((message) => (message.type === 'file_data' ? [message.bytes.length] : []));
    assert.deepEqual(sizes, [65_536, 65_536, 150_000 - 131_072]);
  });
});
