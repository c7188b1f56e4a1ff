/** One event of an event stream, its data decoded. */
export interface ReceivedEvent {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** Reads the text of a whole event stream strictly: exactly what the server is to write, and comments. */
export function parseEvents(text: string): ReceivedEvent[] {
  const blocks = text.split('\n\n');
  if (blocks.pop() !== '') throw new Error('the stream does not end with an empty line');
  return blocks
    .filter((block) => block !== ': heartbeat')
    .map((block) => {
      const match = /^event: ([a-z]+)\ndata: ([^\n]*)$/u.exec(block);
      if (match === null) throw new Error(`not an event: ${JSON.stringify(block)}`);
      return { event: match[1] ?? '', data: JSON.parse(match[2] ?? '') as Record<string, unknown> };
    });
}

/** The bytes of stdout or stderr, put together from its events; their offsets have to be without gaps. */
export function bytesOf(events: readonly ReceivedEvent[], stream: 'stdout' | 'stderr'): Buffer {
  const chunks: Buffer[] = [];
  let expected = 0;
  for (const { event, data } of events) {
    if (event !== stream) continue;
    if (data['offset'] !== expected)
      throw new Error(`offset ${String(data['offset'])} instead of ${expected}`);
    const chunk = Buffer.from(String(data['data']), data['encoding'] as 'utf8' | 'base64');
    chunks.push(chunk);
    expected += chunk.length;
  }
  return Buffer.concat(chunks);
}
