import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { QemuControl } from '../../../src/backends/qemu/control.js';
import { ScratchDirectory } from '../../contract/subject.js';

/** Both ends of a real socket, as QEMU and we have them. */
describe('the control connection of QEMU', () => {
  let scratch: ScratchDirectory;
  let control: QemuControl;
  let ours: Socket;
  let qemu: Socket;

  beforeEach(async () => {
    scratch = new ScratchDirectory();
    const server = createServer().listen(join(scratch.path, 'control'));
    await once(server, 'listening');
    ours = connect(join(scratch.path, 'control'));
    qemu = ((await once(server, 'connection')) as [Socket])[0];
    server.close();
    control = new QemuControl(ours);
  });

  afterEach(() => {
    ours.destroy();
    qemu.destroy();
    scratch[Symbol.dispose]();
  });

  it('sends one JSON object a line, and answers each command in its turn', async () => {
    const answers = [control.execute('first', { a: 1 }), control.execute('second')];
    const [sent] = (await once(qemu, 'data')) as [Buffer];
    assert.equal(
      sent.toString(),
      '{"execute":"first","arguments":{"a":1}}\n{"execute":"second","arguments":{}}\n',
    );
    qemu.write('{"return": {"n": 1}}\r\n{"return": {"n": 2}}\r\n');
    assert.deepEqual(await Promise.all(answers), [{ n: 1 }, { n: 2 }]);
  });

  it('puts answers together, however they are cut, and passes over greetings and events', async () => {
    const answer = control.execute('query');
    const words =
      '{"QMP": {"version": {}}}\n{"event": "RESUME", "timestamp": {}}\n{"return": {"name": "Jürgen ☃"}}\n';
    for (const byte of Buffer.from(words)) {
      qemu.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await answer, { name: 'Jürgen ☃' });
  });

  it('waits for no answer for ever, and is at an end with the first that does not come', async () => {
    const impatient = new QemuControl(ours, 1);
    const answers = [impatient.execute('cont'), impatient.execute('stop')];
    for (const answer of answers)
      await assert.rejects(answer, {
        code: 'vmm_failed',
        message: 'QEMU did not answer cont within 0.001 s.',
      });
    await assert.rejects(impatient.execute('next'), { code: 'vmm_failed' });
    assert.ok(ours.destroyed);
  });

  it('reports what QEMU refuses in its own words, and goes on', async () => {
    const refused = control.execute('migrate');
    const next = control.execute('next');
    qemu.write('{"error": {"class": "GenericError", "desc": "no such\\u001b[2J thing"}}\n{"return": 4}\n');
    await assert.rejects(refused, {
      code: 'vmm_failed',
      message: /refused migrate: "no such\\u001b\[2J thing"/,
    });
    assert.equal(await next, 4);
  });

  it('takes an answer that nobody waits for', async () => {
    qemu.write('{"return": 1}\n{"error": {"desc": "x"}}\n');
    await once(ours, 'data');
    const answer = control.execute('query');
    qemu.write('{"return": 2}\n');
    assert.equal(await answer, 2);
  });

  for (const [what, bytes] of [
    ['no JSON', 'garbage\n'],
    ['cut JSON', '{"return": \n'],
    ['a line without end', 'x'.repeat(1024 * 1024 + 1)],
    ['an end in the middle of a line', null],
  ] as const) {
    it(`fails for good at ${what}`, async () => {
      const answers = [control.execute('one'), control.execute('two')];
      if (bytes === null) qemu.end('{"return"');
      else qemu.write(bytes);
      for (const answer of answers) await assert.rejects(answer, { code: 'vmm_failed' });
      await assert.rejects(control.execute('three'), { code: 'vmm_failed' });
      if (!ours.destroyed) await once(ours, 'close');
    });
  }

  for (const words of ['null', '1', '"x"', '[]', '{"error": null}', '{"error": 1}']) {
    it(`takes ${words} for no answer`, async () => {
      const answer = control.execute('query');
      qemu.write(`${words}\n`);
      await assert.rejects(answer, { code: 'vmm_failed' });
    });
  }

  it('fails when QEMU has gone before it answered', async () => {
    const answer = control.execute('query');
    qemu.destroy();
    await assert.rejects(answer, { code: 'vmm_failed', message: /closed/ });
  });
});
