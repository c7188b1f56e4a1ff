/** Looks at a Firecracker as a user without any privilege, and prints what the refusal says: unprivileged-inspector OPTIONS */
import {
  type FirecrackerOptions,
  FirecrackerMonitor,
} from '../../../src/backends/firecracker/firecracker-monitor.js';
import { asGlasshouseError } from '../../../src/base/errors.js';

const NOBODY = 65_534;

const options = JSON.parse(process.argv[2] ?? '') as FirecrackerOptions;
// Here and not by who starts this: the project need not be readable for that user.
if (process.getuid?.() === 0) {
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
}
try {
  await new FirecrackerMonitor(options).inspect();
  process.stdout.write(JSON.stringify({ code: null, message: '' }));
} catch (error) {
  const { code, message } = asGlasshouseError(error);
  process.stdout.write(JSON.stringify({ code, message }));
}
