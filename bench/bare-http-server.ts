/** Answers every request with as many bytes as the answer to a small run has; prints its address. */
import http from 'node:http';
import { type AddressInfo } from 'node:net';

const ANSWER = JSON.stringify({ answer: 'x'.repeat(800) });

const server = http.createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    response.setHeader('content-type', 'application/json');
    response.end(ANSWER);
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
