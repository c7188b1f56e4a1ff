/**
 * A real Firecracker that fails while it loads a snapshot: faulty-load hangs|dies FIRECRACKER ARGUMENTS-OF-FIRECRACKER.
 * All else that it is asked reaches it. From the moment in which it is asked to load, it stands still; `dies`: and then
 * it is killed, with the request on its way.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [fault = '', firecracker = '', ...args] = process.argv.slice(2);
const API_OPTION = '--api-sock';
const LOAD = 'PUT /snapshot/load ';
const RETRY_MS = 2;

if (args.includes('--version')) spawnSync(firecracker, args, { stdio: 'inherit' });
else await serve(args[args.indexOf(API_OPTION) + 1] ?? '');

async function serve(socket: string): Promise<void> {
  const behind = `real-${socket}`;
  const real = args.map((each, index) => (args[index - 1] === API_OPTION ? behind : each));
  // It dies with us, as it would if nobody stood between.
  const child = spawn('/usr/bin/setpriv', ['--pdeathsig', 'KILL', '--', firecracker, ...real], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  child.once('exit', (code) => process.exit(code ?? 1));
  const server = createServer((client) => {
    const api = connect(behind);
    api.on('error', () => client.destroy());
    client.on('error', () => api.destroy());
    api.pipe(client);
    client.on('data', (chunk: Buffer) => {
      const isLoad = chunk.includes(LOAD);
      if (isLoad) child.kill('SIGSTOP');
      api.write(chunk, () => {
        if (isLoad && fault === 'dies') child.kill('SIGKILL');
      });
    });
    client.once('end', () => api.end());
  });
  while (!existsSync(behind)) await delay(RETRY_MS);
  server.listen(socket);
}
