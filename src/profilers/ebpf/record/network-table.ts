import {
  type NetworkAttempt,
  type NetworkName,
  type NetworkOperation,
  type NetworkPeer,
  type NetworkRecord,
} from '../../../receipts/observed.js';
import { textFromBytes } from '../../../receipts/text.js';
import { queriedName } from '../dns-query.js';
import { errorName } from '../number-names.js';
import { type NameQuery, type PeerTotals, type SocketUsed } from '../observer-message.js';
import { familyName, parseSocketAddress, protocolName } from '../socket-address.js';
import { type Budget } from './budget.js';
import { Doers, Entries } from './doers.js';
import { type ProcessTable } from './process-table.js';

const CONNECT = 1;
const FIRST_TRAFFIC = 5;
const CONNECT_OUTCOME = 6;
const OPERATIONS: Readonly<Record<number, NetworkOperation>> = {
  [CONNECT]: 'connect',
  2: 'bind',
  3: 'listen',
  4: 'accept',
};
const EINPROGRESS = 115;
/** Connections whose outcome is awaited; of further ones it is not known. */
const MAX_AWAITED = 65_536;

type Endpoint = Pick<NetworkPeer, 'family' | 'protocol' | 'address' | 'port'>;
type Attempted = Omit<NetworkAttempt, 'processes' | 'count'>;

interface Peer {
  readonly endpoint: Endpoint;
  readonly doers: Doers;
  sent: number;
  received: number;
  /** First traffic that no totals have come for. */
  open: number;
}

/** The connections of the receipt. */
export class NetworkTable {
  readonly #budget: Budget;
  readonly #processes: ProcessTable;
  readonly #attempts = new Entries<{ readonly facts: Attempted; readonly doers: Doers }>();
  readonly #peers = new Entries<Peer>();
  readonly #names = new Entries<{ readonly name: NetworkName['name']; readonly doers: Doers }>();
  readonly #connecting = new Map<string, SocketUsed>();
  #sent = 0;
  #received = 0;

  constructor(budget: Budget, processes: ProcessTable) {
    this.#budget = budget;
    this.#processes = processes;
  }

  use(message: SocketUsed): void {
    if (message.operation === FIRST_TRAFFIC) this.#meet(message);
    else if (message.operation === CONNECT_OUTCOME) this.#conclude(message);
    else if (message.operation === CONNECT && message.errno === EINPROGRESS) this.#awaitOutcome(message);
    else this.#attempt(message, message.errno);
  }

  count(message: PeerTotals): void {
    const { family, kind, peer } = message;
    const entry = this.#peer(endpointOf(family, kind, 0, peer));
    this.#sent += message.bytesSent;
    this.#received += message.bytesReceived;
    if (entry === null) return;
    entry.doers.add(this.#processes.idOf(message), message.sends + message.receives, this.#budget);
    entry.sent += message.bytesSent;
    entry.received += message.bytesReceived;
    entry.open = Math.max(0, entry.open - 1);
  }

  ask(message: NameQuery): void {
    const bytes = queriedName(message.message, false) ?? queriedName(message.message, true);
    if (bytes === null) return;
    const name = textFromBytes(bytes);
    const entry = this.#names.get(JSON.stringify(name), () =>
      this.#budget.takeEntry('names', name) ? { name, doers: new Doers() } : null,
    );
    entry?.doers.add(this.#processes.idOf(message), 1, this.#budget);
  }

  /** `complete`: all that happened was seen to its end. Call it when nothing more will come. */
  record(complete: boolean): NetworkRecord {
    for (const message of this.#connecting.values()) this.#attempt(message, EINPROGRESS);
    this.#connecting.clear();
    return {
      attempts: this.#attempts.values().map(({ facts, doers }) => ({ ...facts, ...doers.record() })),
      peers: this.#peers.values().map((peer) => recordPeer(peer, complete)),
      names: this.#names.values().map(({ name, doers }) => ({ name, ...doers.record() })),
      bytes_sent: complete ? Math.min(this.#sent, Number.MAX_SAFE_INTEGER) : null,
      bytes_received: complete ? Math.min(this.#received, Number.MAX_SAFE_INTEGER) : null,
    };
  }

  #awaitOutcome(message: SocketUsed): void {
    if (this.#connecting.size >= MAX_AWAITED) this.#attempt(message, EINPROGRESS);
    // The addresses are views of a chunk that is otherwise done with.
    else this.#connecting.set(message.socket, { ...message, given: Buffer.from(message.given) });
  }

  #conclude(outcome: SocketUsed): void {
    const begun = this.#connecting.get(outcome.socket);
    this.#connecting.delete(outcome.socket);
    this.#attempt(begun ?? outcome, outcome.errno);
  }

  #attempt(message: SocketUsed, errno: number): void {
    const operation = message.operation === CONNECT_OUTCOME ? 'connect' : OPERATIONS[message.operation];
    if (operation === undefined) return;
    const { family, kind, protocol } = message;
    const endpoint = endpointOf(family, kind, protocol, addressOf(message));
    const facts: Attempted = { operation, ...endpoint, error: errno === 0 ? null : errorName(errno) };
    const entry = this.#attempts.get(JSON.stringify(facts), () =>
      this.#budget.takeEntry('attempts', endpoint.address) ? { facts, doers: new Doers() } : null,
    );
    entry?.doers.add(this.#processes.idOf(message), 1, this.#budget);
  }

  #meet(message: SocketUsed): void {
    const { family, kind, protocol, given, peer } = message;
    const entry = this.#peer(endpointOf(family, kind, protocol, given.length > 0 ? given : peer));
    if (entry === null) return;
    entry.doers.add(this.#processes.idOf(message), 0, this.#budget);
    entry.open += 1;
  }

  #peer(endpoint: Endpoint): Peer | null {
    return this.#peers.get(JSON.stringify(endpoint), () =>
      this.#budget.takeEntry('peers', endpoint.address)
        ? { endpoint, doers: new Doers(), sent: 0, received: 0, open: 0 }
        : null,
    );
  }
}

/** What the call named, else what the socket itself tells: of accept the peer, of listen the own address. */
function addressOf({ operation, given, own, peer }: SocketUsed): Buffer {
  if (given.length > 0) return given;
  const name = OPERATIONS[operation];
  return name === 'listen' || name === 'bind' ? own : peer;
}

function endpointOf(family: number, kind: number, protocol: number, address: Buffer): Endpoint {
  return {
    family: familyName(family),
    protocol: protocolName(family, kind, protocol),
    ...parseSocketAddress(address),
  };
}

function recordPeer({ endpoint, doers, sent, received, open }: Peer, complete: boolean): NetworkPeer {
  const known = complete && open === 0;
  return {
    ...endpoint,
    ...doers.record(),
    bytes_sent: known ? Math.min(sent, Number.MAX_SAFE_INTEGER) : null,
    bytes_received: known ? Math.min(received, Number.MAX_SAFE_INTEGER) : null,
  };
}
