/** Starts a machine with a real Firecracker, prints the pid of its keeper, and waits to be killed: orphan-maker DIRECTORY jailed|free. */
import { join } from 'node:path';

import { openAnonymousFile } from '../../../src/base/anonymous-file.js';
import { defaultImageDirectory, openImage } from '../../../src/images/locate.js';
import { childProcesses, launch } from '../../contract/subject.js';
import { makeMonitorIn } from './firecracker-binary.js';

const [directory = '', jailed = ''] = process.argv.slice(2);
const monitor = makeMonitorIn(join(directory, 'cells'), { jailed: jailed === 'jailed' });
const workspace = await openAnonymousFile(directory);
await workspace.truncate(1024 * 1024);
await launch(monitor, {
  accelerator: 'kvm',
  memoryMb: 160,
  cpus: 1,
  diskMb: 1,
  image: await openImage(defaultImageDirectory()),
  workspace,
  memory: { kind: 'own' },
});
process.stdout.write(`${childProcesses()[0] ?? 0}\n`);
await new Promise(() => undefined);
