import { type AddressInfo, BlockList, isIP, isIPv6 } from 'node:net';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Configuration } from '../config/settings.js';
import { type Problem, problem } from './problem.js';

/** Answers are data, never pages: no sniffing, no embedding, no caching, no reading by other sites. */
const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
} as const;

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]'] as const;
/** RFC 6890; a BlockList also finds an IPv4 address that is mapped into IPv6. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

export function setCommonHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({ ...SECURITY_HEADERS, 'x-request-id': request.id });
}

/**
 * Makes the check that keeps web pages of other sites from using this server through a visitor's browser:
 * by a name of theirs that resolves to a loopback address (DNS rebinding), or by a cross-origin request.
 */
export function clientGuard(
  config: Configuration,
  /** Where the server listens, as net.Server.address() says it; asked when it does. */
  listensAt: () => AddressInfo | string | null,
): (request: FastifyRequest) => Problem | null {
  let known: ReadonlySet<string> | 'all' | undefined;
  return (request) => {
    const host = request.headers.host ?? '';
    const names = (known ??= allowedNames(config, listensAt()));
    if (names !== 'all' && !names.has(nameOf(host)))
      return problem('invalid_request', 'This server does not answer to that name (setting allowed_hosts).', {
        status: 421,
        field: 'Host',
      });
    const { origin } = request.headers;
    if (origin !== undefined && !SAFE_METHODS.has(request.method) && hostOf(origin) !== host.toLowerCase())
      return problem('invalid_request', 'Requests from pages of other sites are refused.', {
        status: 403,
        field: 'Origin',
      });
    return null;
  };
}

/** By where the server really listens: `host` may be any name, and any spelling, of a loopback address. */
function allowedNames(
  config: Configuration,
  address: AddressInfo | string | null,
): ReadonlySet<string> | 'all' {
  const listens = address !== null && typeof address === 'object' ? address.address : config.host;
  if (!isLoopback(listens) && config.allowedHosts.length === 0) return 'all';
  const own = config.host.includes(':') ? `[${config.host}]` : config.host;
  return new Set([...LOOPBACK_NAMES, own, ...config.allowedHosts].map((name) => name.toLowerCase()));
}

function isLoopback(address: string): boolean {
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  return address === 'localhost' || (isIP(address) !== 0 && LOOPBACK.check(address, family));
}

/** A Host header (RFC 9110 section 7.2) without its port. */
function nameOf(host: string): string {
  return host.replace(/:[0-9]*$/u, '').toLowerCase();
}

/** The host and port of an origin (RFC 6454); null for `null` and whatever is none. */
function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
