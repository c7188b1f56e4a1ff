const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const QUERY_RESPONSE_BIT = 0x8000;

/**
 * The name that a DNS query asks for (RFC 1035 section 4.1), without the last dot; null for anything else. Over TCP a
 * message begins with its length (section 4.2.2).
 */
export function queriedName(message: Buffer, isStream: boolean): Buffer | null {
  const bytes = isStream ? message.subarray(2) : message;
  if (bytes.length < HEADER_BYTES) return null;
  if ((bytes.readUInt16BE(2) & QUERY_RESPONSE_BIT) !== 0 || bytes.readUInt16BE(4) === 0) return null;
  const labels: Buffer[] = [];
  for (let at = HEADER_BYTES, total = 0; ;) {
    const length = bytes[at];
    // A question has no compressed names: there is nothing before it to point to.
    if (length === undefined || length > MAX_LABEL_BYTES) return null;
    if (length === 0) return joined(labels);
    total += length + 1;
    const label = bytes.subarray(at + 1, at + 1 + length);
    if (label.length !== length || total > MAX_NAME_BYTES) return null;
    labels.push(label);
    at += 1 + length;
  }
}

function joined(labels: readonly Buffer[]): Buffer {
  const dotted = labels.flatMap((label, index) => (index === 0 ? [label] : [Buffer.from('.'), label]));
  return Buffer.concat(dotted);
}
