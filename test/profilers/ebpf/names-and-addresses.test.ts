import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { queriedName } from '../../../src/profilers/ebpf/dns-query.js';
import { errorName, signalName } from '../../../src/profilers/ebpf/number-names.js';
import { PATH_FLAGS } from '../../../src/profilers/ebpf/observer-message.js';
import { marksOf, resolveOperand } from '../../../src/profilers/ebpf/resolve-path.js';
import { ipv6Text, parseSocketAddress, protocolName } from '../../../src/profilers/ebpf/socket-address.js';
import { systemCallName } from '../../../src/profilers/ebpf/system-call-names.js';
import { named } from './frames.js';

const resolve = (directory: string, name: string): string =>
  resolveOperand({ directory: named(directory), name: named(name) }).bytes.toString();

describe('a name below a directory', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['/work', 'x', '/work/x'],
    ['/work', './x', '/work/x'],
    ['/work/sub', '../x', '/work/x'],
    ['/work/sub', '../../../x', '/x'],
    ['/work', 'a/../b', '/work/a/../b'],
    ['/work', 'a//b/', '/work/a/b'],
    ['/', '/etc/x', '/etc/x'],
    ['/jail', '/etc/x', '/jail/etc/x'],
    ['/jail', '/../x', '/jail/x'],
    ['/work', '', '/work'],
    ['/', '/', '/'],
  ];
  for (const [directory, name, expected] of cases) {
    it(`${JSON.stringify(name)} from ${directory} is ${expected}`, () => {
      assert.equal(resolve(directory, name), expected);
    });
  }

  it('keeps every byte of both', () => {
    const segment = fc.uint8Array({ minLength: 1, maxLength: 20 }).filter((bytes) => !bytes.includes(0x2f));
    fc.assert(
      fc.property(segment, segment, (one, other) => {
        fc.pre(
          Buffer.from(other).toString('latin1') !== '..' && Buffer.from(other).toString('latin1') !== '.',
        );
        const directory = Buffer.concat([Buffer.from('/'), one]);
        const { bytes } = resolveOperand({
          directory: { bytes: directory, flags: 0 },
          name: { bytes: Buffer.from(other), flags: 0 },
        });
        assert.deepEqual(bytes, Buffer.concat([directory, Buffer.from('/'), other]));
      }),
    );
  });

  it('has the marks of both', () => {
    const { marks } = resolveOperand({
      directory: named('/x', PATH_FLAGS.namespace),
      name: named('y', PATH_FLAGS.truncated),
    });
    assert.deepEqual(marks, ['mount_namespace', 'truncated']);
    assert.equal(new Set(Array.from({ length: 64 }, (_, flags) => marksOf(flags).join())).size, 64);
  });
});

describe('a socket address', () => {
  const unix = (name: string): Buffer => Buffer.concat([Buffer.from([1, 0]), Buffer.from(name, 'latin1')]);

  it('of a Unix socket is its path, an abstract one begins with @', () => {
    assert.deepEqual(parseSocketAddress(unix('/run/x\0junk')), { address: '/run/x', port: null });
    assert.deepEqual(parseSocketAddress(unix('\0bus\0x')), { address: '@bus@x', port: null });
    assert.deepEqual(parseSocketAddress(unix('')), { address: null, port: null });
    assert.deepEqual(parseSocketAddress(unix('/\xff')), { address: { base64: 'L/8=' }, port: null });
  });

  it('of IPv6 is written as RFC 5952 says', () => {
    const text = (groups: string): string => ipv6Text(Buffer.from(groups, 'hex'));
    assert.equal(text('00000000000000000000000000000001'), '::1');
    assert.equal(text('20010db8000000000001000000000001'), '2001:db8::1:0:0:1');
    assert.equal(text('00000000000000000000ffff7f000001'), '::ffff:127.0.0.1');
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        assert.ok(isIPv6(ipv6Text(Buffer.from(bytes))));
      }),
    );
  });

  it('is nothing, and no crash, for any other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 130 }), (bytes) => {
        parseSocketAddress(Buffer.from(bytes));
      }),
    );
  });

  it('names the protocol', () => {
    assert.deepEqual(
      [
        protocolName(2, 1, 0),
        protocolName(10, 2, 17),
        protocolName(1, 5, 0),
        protocolName(2, 3, 1),
        protocolName(2, 1, 132),
      ],
      ['tcp', 'udp', 'seqpacket', 'icmp', 'sctp'],
    );
  });
});

describe('a DNS query', () => {
  const query = Buffer.from('12340100000100000000000007657861' + '6d706c65036f72670000010001', 'hex');

  it('tells the name that it asks for, over UDP and TCP', () => {
    assert.equal(queriedName(query, false)?.toString(), 'example.org');
    assert.equal(
      queriedName(Buffer.concat([Buffer.from([0, query.length]), query]), true)?.toString(),
      'example.org',
    );
  });

  it('is not a reply, nor something cut off', () => {
    const reply = Buffer.from(query);
    reply.writeUInt8(0x81, 2);
    assert.equal(queriedName(reply, false), null);
    for (let length = 0; length < 25; length += 1)
      assert.equal(queriedName(query.subarray(0, length), false), null);
  });

  it('is nothing, and no crash, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 512 }), fc.boolean(), (bytes, isStream) => {
        queriedName(Buffer.from(bytes), isStream);
      }),
    );
  });
});

describe('names of numbers', () => {
  it('are those of Linux', () => {
    assert.deepEqual(
      [errorName(2), errorName(11), errorName(512), errorName(999)],
      ['ENOENT', 'EAGAIN', 'ERESTARTSYS', 'E999'],
    );
    assert.deepEqual(
      [signalName(6), signalName(9), signalName(35), signalName(99)],
      ['SIGABRT', 'SIGKILL', 'SIGRTMIN+1', 'SIG99'],
    );
    assert.deepEqual(
      [
        systemCallName(0, 0),
        systemCallName(0, 59),
        systemCallName(0, 334),
        systemCallName(0, 425),
        systemCallName(1, 5),
      ],
      ['read', 'execve', 'rseq', 'io_uring_setup', 'i386_5'],
    );
    assert.deepEqual([systemCallName(0, 400), systemCallName(2, 65_535)], ['syscall_400', 'x32_other']);
  });
});
