import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { type CompletedFile } from '../../src/engine/completed.js';
import { makeQemuBackend, reasonToSkip, ScratchDirectory } from '../contract/subject.js';
import { assertStatus, Laboratory, textOf } from './laboratory.js';

const scratch = new ScratchDirectory();
const backend = makeQemuBackend(scratch, { poolSize: 0 });
const skip = await reasonToSkip(backend);
const laboratory = new Laboratory(scratch, backend);

after(async () => {
  await backend.close();
  laboratory[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

function byName(files: readonly CompletedFile[]): ReadonlyMap<string, CompletedFile> {
  return new Map(files.map((file) => [Buffer.from(file.path).toString('latin1'), file]));
}

describe('hostile output files', { skip: skip ?? false, concurrency: 2 }, () => {
  it('names are bytes, and only regular files have contents', async () => {
    const ended = await laboratory.python(AWKWARD_FILES);
    assertStatus(ended, 'ok');
    assert.equal(textOf(ended), 'mknod refused\n');
    const files = byName(ended.files);
    const awkward = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => byte !== 0 && byte !== 0x2f,
    );
    for (const byte of awkward) {
      const file = files.get(`byte-${String.fromCharCode(byte)}`);
      assert.equal(file?.sizeBytes, 1, `byte ${byte}`);
      assert.deepEqual(Buffer.from(file.inline ?? []), Buffer.from([byte]));
    }
    for (const name of ['...', '..a', '-rf', '~', '$HOME', '%2e%2e', 'dir\\..\\x', 'a'.repeat(255)]) {
      assert.equal(files.get(name)?.omitted, null, name);
    }
    for (const name of ['link-absolute', 'link-relative', 'link-loop', 'link-directory', 'fifo', 'socket']) {
      assert.deepEqual(
        [files.get(name)?.sha256, files.get(name)?.omitted],
        [null, 'not_a_regular_file'],
        name,
      );
    }
    assert.equal(files.get('sparse')?.omitted, 'too_large');
    assert.equal(files.get('sparse')?.sizeBytes, 2 ** 31);
    assert.equal(files.get('unreadable')?.inline?.length, 6, 'guest init reads what the program cannot');
    assert.equal(files.has('link-directory/passwd'), false);
    assert.equal(ended.filesComplete, false, 'the deepest directories are not listed');
  });

  it('2,000 files are listed up to the limit, and the receipt says so', async () => {
    const ended = await laboratory.python("for i in range(2000): open(f'{i:04}', 'w').close()");
    assertStatus(ended, 'ok');
    // The program's own code may take one of the 1,000 places; it is no output.
    assert.ok(ended.files.length === 1000 || ended.files.length === 999, String(ended.files.length));
    assert.equal(ended.filesComplete, false);
    const { artifacts } = await laboratory.verified(ended.receiptId);
    assert.deepEqual([artifacts.files.length, artifacts.files_complete], [ended.files.length, false]);
  });

  for (const [shape, code, expected] of [
    ['a symbolic link', "os.symlink('/etc/passwd', 'result.json')", ['not_a_regular_file']],
    ['a directory', "os.mkdir('result.json')", []],
    ['a FIFO', "os.mkfifo('result.json')", ['not_a_regular_file']],
    ['24 MB', "open('result.json', 'wb').write(b'{' * (24 << 20))", [null]],
  ] as const) {
    it(`result.json that is ${shape} confuses nothing`, async () => {
      const ended = await laboratory.python(`import os\n${code}\nprint('done')`);
      assertStatus(ended, 'ok');
      assert.equal(textOf(ended), 'done\n');
      assert.deepEqual(
        ended.files.map((file) => file.omitted),
        expected,
      );
    });
  }
});

describe('after hostile output files', { skip: skip ?? false }, () => {
  it('the next run works and nothing is left', () => laboratory.assertSoundAndClean());
});

const AWKWARD_FILES = `
import os, socket
def put(name, content=b'x'):
    with open(name, 'wb') as file: file.write(content)
for byte in range(256):
    if byte not in (0, 0x2f): put(b'byte-' + bytes([byte]), bytes([byte]))
for name in ('...', '..a', '-rf', '~', '$HOME', '%2e%2e', 'dir\\\\..\\\\x', 'a' * 255): put(name)
os.symlink('/etc/passwd', 'link-absolute')
os.symlink('../../../../etc/passwd', 'link-relative')
os.symlink('link-loop', 'link-loop')
os.symlink('/etc', 'link-directory')
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
try: os.mknod('device', 0o60666, os.makedev(254, 0))
except PermissionError: print('mknod refused')
with open('sparse', 'wb') as file: file.truncate(1 << 31)
put('unreadable', b'secret')
os.chmod('unreadable', 0)
os.mkdir('closed'); put('closed/inside'); os.chmod('closed', 0)
os.mkdir('deep'); os.chdir('deep')
for level in range(100):
    os.mkdir('d'); os.chdir('d'); put('f')
`;
