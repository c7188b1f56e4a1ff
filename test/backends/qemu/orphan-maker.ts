/** Starts a guest, prints the pid of its QEMU, and waits to be killed. */
import {
  childProcesses,
  commandSpec,
  makeQemuBackend,
  never,
  ScratchDirectory,
} from '../../contract/subject.js';

using scratch = new ScratchDirectory();
const backend = makeQemuBackend(scratch);
await backend.prepare(never);
await backend.start(commandSpec(['sleep', '1000']), never);
process.stdout.write(`${childProcesses()[0] ?? 0}\n`);
scratch[Symbol.dispose]();
await new Promise(() => undefined);
