import { once } from 'node:events';
import http from 'node:http';

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly text: string;
}

/** The plainest client there is, over connections that stay open: its time counts as the server's. */
export class HttpClient implements Disposable {
  readonly #agent = new http.Agent({ keepAlive: true });

  async post(url: string, body: object): Promise<Answer> {
    const headers = { 'content-type': 'application/json' };
    const request = http.request(url, { method: 'POST', headers, agent: this.#agent });
    request.end(JSON.stringify(body));
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const retryAfter = response.headers['retry-after'] ?? null;
    return { status: response.statusCode ?? 0, retryAfter, text: Buffer.concat(chunks).toString() };
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
