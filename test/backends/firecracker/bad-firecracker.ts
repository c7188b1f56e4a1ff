/**
 * A program that says it is Firecracker and then fails in one way: bad-firecracker BEHAVIOUR ARGUMENTS-OF-FIRECRACKER.
 */
import { createServer } from 'node:http';

const [behaviour = '', ...args] = process.argv.slice(2);

if (args.includes('--version')) {
  process.stdout.write(`Firecracker v${behaviour === 'is-too-new' ? '1.99.0' : '1.16.1'}\n`);
} else if (behaviour === 'ends-at-once') {
  process.stderr.write('\u001b[31mcannot go on\n');
  process.exitCode = 7;
} else {
  let answers = 0;
  const server = createServer((request, response) => {
    request.resume();
    answers += 1;
    const isReady = request.url === '/version';
    const isSetup = request.url === '/machine-config';
    if (isReady) response.end('{"firecracker_version":"1.16.1"}');
    else if (behaviour === 'dies-between-two-calls' && answers > 3) process.kill(process.pid, 'SIGKILL');
    else if (behaviour === 'refuses' && isSetup)
      response.writeHead(400).end('{"fault_message":"no such kernel"}');
    else if (behaviour === 'has-no-room' && isSetup)
      response.writeHead(400).end('{"fault_message":"No space left on device"}');
    else response.writeHead(204).end();
  });
  if (behaviour !== 'never-listens') server.listen(args[args.indexOf('--api-sock') + 1]);
  else setInterval(() => undefined, 1000);
}
