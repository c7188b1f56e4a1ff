const MAPPED_IPV4 = /^::ffff:([0-9]{1,3}(?:\.[0-9]{1,3}){3})$/iu;
const GROUPS = 8;
/** Of an IPv6 address, the groups that say whose network it is: one customer has all addresses of a /64 (RFC 6177). */
const NETWORK_GROUPS = 4;

/** Who sent a request, to let clients take turns: its IPv4 address, or the network of its IPv6 address. */
export function clientKey(address: string): string {
  const mapped = MAPPED_IPV4.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  return groupsOf(address).slice(0, NETWORK_GROUPS).join(':');
}

/** The eight groups of an IPv6 address (RFC 4291, 2.2), without leading zeros. */
function groupsOf(address: string): readonly string[] {
  const [left = '', right] = address.toLowerCase().split('::');
  const before = left === '' ? [] : left.split(':');
  const after = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : Math.max(0, GROUPS - before.length - after.length);
  return [...before, ...Array<string>(zeros).fill('0'), ...after].map((group) =>
    group.replace(/^0+(?=.)/u, ''),
  );
}
