import { type ServerDependencies } from '../server/dependencies.js';
import { type ReceiptWriter } from '../receipts/store-writer.js';
import { type TrustedKeys } from '../receipts/trusted-keys.js';
import { type ExecutionBackend } from '../backends/backend.js';
import { type Configuration } from '../config/settings.js';
import { type Engine } from '../engine/engine.js';
import { type KeyRing } from '../receipts/key-ring.js';
import { type Profiler } from '../profilers/profiler.js';
import { type Redactor } from '../redaction/redactor.js';
import { type ReceiptStore } from '../receipts/store.js';

/** Flags of settings as they were typed, by setting name. */
export type SettingFlags = Readonly<Record<string, string>>;

/** A server keeps clones waiting; a command, which runs one program, makes no snapshot for it either. */
export type BackendPurpose = 'command' | 'snapshot' | 'server';

/** A release of Firecracker and what brings it. */
export interface FirecrackerSetup {
  readonly release: { readonly version: string; readonly sha256: string; readonly url: string };
  /** Resolves to where it is now. `archive`: a file that somebody brought; null: from the network. */
  install(archive: string | null, signal: AbortSignal): Promise<string>;
}

/**
 * What main.ts composes for the commands. Every part is made when it is first asked for, so that a command pays
 * only for what it uses.
 */
export interface Services extends AsyncDisposable {
  readonly config: Configuration;
  /** Names that `--backend` takes. */
  readonly backendNames: readonly string[];
  store(): Promise<ReceiptStore>;
  keyRing(): Promise<KeyRing>;
  /** What adds receipts to the store and its log. */
  writer(): Promise<ReceiptWriter>;
  /** `auto`: the first one that isolates and works here. */
  backend(name: string, purpose: BackendPurpose): Promise<ExecutionBackend>;
  firecrackerSetup(): Promise<FirecrackerSetup>;
  /** What observes commands on this host. */
  profiler(): Promise<Profiler>;
  /** The receipt file of a stored receipt: what `glasshouse verify` takes. Throws `not_found`. */
  bundle(receiptId: string): Promise<Uint8Array>;
  /** The same for receipts that are at hand. */
  bundleEncoder(): Promise<ServerDependencies['encodeBundle']>;
  /** Public keys of the data directory; none when it has no keys yet, and none is made. */
  ownKeys(): Promise<TrustedKeys>;
  /** Replaces secrets in whatever is recorded or logged. */
  redactor(): Promise<Redactor>;
  /** An engine over that backend; executions of dead processes have been closed before. */
  engine(backend: ExecutionBackend): Promise<Engine>;
}

/** Resolves the configuration and composes; throws `configuration_invalid`. */
export type Compose = (flags: SettingFlags, configFile: string | null) => Services;
