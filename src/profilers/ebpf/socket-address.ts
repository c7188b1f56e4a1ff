import { type Text, textFromBytes } from '../../receipts/text.js';

export interface SocketAddress {
  /** An IP address, or the path of a Unix socket (`@name` when abstract); null: none. */
  readonly address: Text | null;
  readonly port: number | null;
}

const FAMILIES: Readonly<Record<number, string>> = {
  1: 'unix',
  2: 'inet',
  10: 'inet6',
  16: 'netlink',
  17: 'packet',
  31: 'bluetooth',
  38: 'alg',
  40: 'vsock',
};
const UNIX = 1;
const INET = 2;
const INET6 = 10;
const STREAM = 1;
const DATAGRAM = 2;
const KINDS: Readonly<Record<number, string>> = { 1: 'stream', 2: 'dgram', 3: 'raw', 5: 'seqpacket' };
const INTERNET_PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  58: 'icmp',
  132: 'sctp',
  262: 'mptcp',
};
const NOTHING: SocketAddress = { address: null, port: null };

export function familyName(family: number): string {
  return FAMILIES[family] ?? `af_${family}`;
}

/** `kind`: SOCK_STREAM and so on; `protocol`: 0 for the usual one. */
export function protocolName(family: number, kind: number, protocol: number): string {
  if (family === INET || family === INET6) {
    const name = INTERNET_PROTOCOLS[protocol];
    if (name !== undefined) return name;
    if (kind === STREAM) return 'tcp';
    if (kind === DATAGRAM) return 'udp';
  }
  return KINDS[kind] ?? `type_${kind}`;
}

/** A struct sockaddr as it is in memory (ip(7), ipv6(7), unix(7)); of another family, or cut short: nothing. */
export function parseSocketAddress(bytes: Buffer): SocketAddress {
  const family = bytes.length >= 2 ? bytes.readUInt16LE(0) : 0;
  if (family === UNIX) return { address: unixName(bytes.subarray(2)), port: null };
  if (family === INET && bytes.length >= 8) {
    return { address: [...bytes.subarray(4, 8)].join('.'), port: bytes.readUInt16BE(2) };
  }
  if (family === INET6 && bytes.length >= 24) {
    return { address: ipv6Text(bytes.subarray(8, 24)), port: bytes.readUInt16BE(2) };
  }
  return NOTHING;
}

/** unix(7): a path ends at its first NUL, an abstract name begins with one, a socket without a name has nothing. */
function unixName(name: Buffer): Text | null {
  if (name.length === 0) return null;
  if (name[0] === 0) return name.length === 1 ? null : textFromBytes(abstractName(name.subarray(1)));
  const end = name.indexOf(0);
  return textFromBytes(end === -1 ? name : name.subarray(0, end));
}

/** NULs of an abstract name are shown as `@` as well, as /proc/net/unix does. */
function abstractName(name: Buffer): Buffer {
  return Buffer.concat([Buffer.from('@'), Buffer.from(name.map((byte) => (byte === 0 ? 0x40 : byte)))]);
}

/** RFC 5952: lower case, the longest run of zeros as `::`; IPv4-mapped addresses in dotted form. */
export function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${[...bytes.subarray(12, 16)].join('.')}`;
  }
  const { start, length } = longestZeros(groups);
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  return best;
}
