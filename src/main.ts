/**
 * The composition root: the only file that names concrete backends and profilers. Everything heavy is imported when a command
 * first needs it.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';

import { type ExecutionBackend } from './backends/backend.js';
import { type VirtualMachineMonitor } from './backends/vm/machine.js';
import { type WarmOptions } from './backends/vm/vm-backend.js';
import { makeDirectory } from './base/directory.js';
import { GlasshouseError } from './base/errors.js';
import { hostHelper } from './base/host-helper.js';
import { closeInheritedDescriptors } from './base/inherited-descriptors.js';
import { runCommandLine } from './cli/program.js';
import {
  type BackendPurpose,
  type FirecrackerSetup,
  type Services,
  type SettingFlags,
} from './cli/services.js';
import { loadConfiguration, readSurroundings } from './config/load.js';
import { type Configuration } from './config/settings.js';
import { type AdmissionLimits } from './engine/admission.js';
import { type Engine } from './engine/engine.js';
import { type Profiler } from './profilers/profiler.js';
import { type Redactor } from './redaction/redactor.js';
import { type KeyRing } from './receipts/key-ring.js';
import { type ReceiptStore } from './receipts/store.js';
import { type ReceiptWriter } from './receipts/store-writer.js';
import { type TrustedKeys } from './receipts/trusted-keys.js';
import { type ServerDependencies } from './server/dependencies.js';

const COLLECT_TIMEOUT_MS = 10_000;
const KVM_DEVICE = '/dev/kvm';
/** Of the data directory: a directory for each release. */
const FIRECRACKER_DIRECTORY = 'firecracker';
/** Of its own, that a waiting clone takes at most, in MiB; `npm run bench` prints it. */
const CLONE_MEMORY_MB = 64;

type MakeBackend = (config: Configuration, purpose: BackendPurpose) => Promise<ExecutionBackend>;

const BACKENDS: Readonly<Record<string, MakeBackend>> = {
  process: async () => new (await import('./backends/process/process-backend.js')).ProcessBackend(),
  firecracker: async (config, purpose) => {
    const { FirecrackerMonitor } = await import('./backends/firecracker/firecracker-monitor.js');
    const programs = await firecrackerPrograms(config);
    const monitor = new FirecrackerMonitor({
      binary: programs.firecracker,
      jailer: config.jailer === 'on' ? programs.jailer : null,
      keeper: hostHelper('keep-machine'),
      cellDirectory: privateDirectory(config, 'cells'),
      kvmDevice: KVM_DEVICE,
    });
    return makeVmBackend(config, purpose, monitor, 'firecracker.json');
  },
  qemu: async (config, purpose) => {
    // The emulator gets its own descriptors and nothing that whoever started us left open.
    closeInheritedDescriptors();
    const { QemuMonitor } = await import('./backends/qemu/qemu-monitor.js');
    const accelerators = config.accelerator === 'auto' ? (['kvm', 'tcg'] as const) : [config.accelerator];
    const monitor = new QemuMonitor({
      binary: config.qemuBin,
      accelerators: accelerators.filter((name) => name !== 'kvm' || existsSync(KVM_DEVICE)),
      runtimeDirectory: privateDirectory(config, 'spool'),
      templateLibrary: hostHelper('monitor-template.so'),
      copyHelper: hostHelper('copy-monitor'),
    });
    return makeVmBackend(config, purpose, monitor, 'accelerator.json');
  },
};

/** Those that isolate, best first: QEMU itself prefers KVM to emulation. */
const AUTO = [BACKENDS['firecracker'], BACKENDS['qemu']] as readonly MakeBackend[];

async function makeAutoBackend(config: Configuration, purpose: BackendPurpose): Promise<ExecutionBackend> {
  const { FirstThatWorks } = await import('./backends/first-that-works.js');
  const [best, ...others] = await Promise.all(AUTO.map((make) => make(config, purpose)));
  if (best === undefined) throw new GlasshouseError('internal', 'There is nothing to choose from.');
  return new FirstThatWorks([best, ...others]);
}

async function makeVmBackend(
  config: Configuration,
  purpose: BackendPurpose,
  monitor: VirtualMachineMonitor,
  acceleratorFile: string,
): Promise<ExecutionBackend> {
  const { VmBackend } = await import('./backends/vm/vm-backend.js');
  return new VmBackend({
    monitor,
    imageDirectory: config.imageDir,
    spoolDirectory: privateDirectory(config, 'spool'),
    acceleratorFile: path.join(privateDirectory(config, 'cache'), acceleratorFile),
    timeouts: { bootMs: config.bootTimeoutMs, collectMs: COLLECT_TIMEOUT_MS },
    warm: config.snapshots === 'off' ? null : warmOptions(config, purpose),
  });
}

/** Those that were named, else those that were set up, else those in PATH. */
async function firecrackerPrograms(
  config: Configuration,
): Promise<{ readonly firecracker: string; readonly jailer: string }> {
  const { newestInstalled } = await import('./backends/firecracker/release.js');
  const directory = await newestInstalled(path.join(config.dataDir, FIRECRACKER_DIRECTORY));
  const installed = (name: string): string => (directory === null ? name : path.join(directory, name));
  return {
    firecracker: config.firecrackerBin === '' ? installed('firecracker') : config.firecrackerBin,
    jailer: config.jailerBin === '' ? installed('jailer') : config.jailerBin,
  };
}

function warmOptions(config: Configuration, purpose: BackendPurpose): WarmOptions {
  const poolSize = Math.min(config.poolSize, Math.floor(config.poolMemoryMb / CLONE_MEMORY_MB));
  return {
    snapshotDirectory: privateDirectory(config, 'snapshots'),
    sealedMemoryHelper: hostHelper('sealed-memory'),
    defaultLimits: {
      memoryMb: config.defaultMemoryMb,
      cpus: config.defaultCpus,
      diskMb: config.defaultDiskMb,
      pids: config.defaultPids,
      outputBytes: config.defaultOutputBytes,
    },
    poolSize: purpose === 'server' ? poolSize : 0,
    makesSnapshots: purpose !== 'command',
    makesSnapshotsOnDemand: purpose === 'server',
    keepsTemplates: purpose === 'server' && config.templates === 'on',
  };
}

function admissionLimits(config: Configuration): AdmissionLimits {
  const { maxConcurrent, maxQueue, queueTimeoutMs, maxTotalMemoryMb, maxTotalCpus } = config;
  return {
    maxConcurrent,
    memoryMb: maxTotalMemoryMb,
    cpus: maxTotalCpus,
    maxQueued: maxQueue,
    queueTimeoutMs,
  };
}

function privateDirectory(config: Configuration, name: string): string {
  const directory = path.join(config.dataDir, name);
  try {
    makeDirectory(directory, 0o700);
    return directory;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new GlasshouseError(
      'configuration_invalid',
      `The data directory cannot be used: ${why}. Choose another one with --data-dir or GLASSHOUSE_DATA_DIR.`,
      { cause: error },
    );
  }
}

/** Composes for one command; what was opened is closed by dispose. */
class ComposedServices implements Services {
  readonly config: Configuration;
  readonly backendNames = Object.keys(BACKENDS);
  #store: Promise<ReceiptStore> | null = null;
  #keyRing: Promise<KeyRing> | null = null;
  #writer: Promise<ReceiptWriter> | null = null;
  readonly #backends: ExecutionBackend[] = [];
  readonly #engines: Engine[] = [];

  constructor(flags: SettingFlags, configFile: string | null) {
    this.config = loadConfiguration({ flags, configFile, surroundings: readSurroundings() });
  }

  store(): Promise<ReceiptStore> {
    this.#store ??= this.#openStore();
    return this.#store;
  }

  keyRing(): Promise<KeyRing> {
    this.#keyRing ??= this.#openKeyRing();
    return this.#keyRing;
  }

  writer(): Promise<ReceiptWriter> {
    this.#writer ??= this.#makeWriter();
    return this.#writer;
  }

  async ownKeys(): Promise<TrustedKeys> {
    if (!existsSync(this.#keyDirectory)) return { receiptKeys: [], logKeys: [] };
    const ring = await this.keyRing();
    return { receiptKeys: ring.verifiers(), logKeys: ring.logVerifiers() };
  }

  async backend(name: string, purpose: BackendPurpose): Promise<ExecutionBackend> {
    const make =
      name === 'auto' ? makeAutoBackend : Object.hasOwn(BACKENDS, name) ? BACKENDS[name] : undefined;
    if (make === undefined) {
      const known = this.backendNames.join(', ');
      throw new GlasshouseError(
        'configuration_invalid',
        `There is no backend ${JSON.stringify(name)}; there are: ${known}.`,
      );
    }
    const backend = await make(this.config, purpose);
    this.#backends.push(backend);
    return backend;
  }

  async firecrackerSetup(): Promise<FirecrackerSetup> {
    const { installRelease, pinnedRelease } = await import('./backends/firecracker/release.js');
    const release = pinnedRelease();
    return {
      release,
      install: (archive, signal) => {
        const directory = privateDirectory(this.config, FIRECRACKER_DIRECTORY);
        return installRelease({ release, directory, archive, signal });
      },
    };
  }

  async profiler(): Promise<Profiler> {
    const { EbpfProfiler } = await import('./profilers/ebpf/ebpf-profiler.js');
    const { observerDir, observerRingBytes, observerFileRecords, observerPeerRecords } = this.config;
    return new EbpfProfiler({
      directory: observerDir,
      sizes: {
        ringBytes: observerRingBytes,
        fileRecords: observerFileRecords,
        peerRecords: observerPeerRecords,
        argvBytes: this.config.observerArgvBytes,
      },
    });
  }

  async bundleEncoder(): Promise<ServerDependencies['encodeBundle']> {
    const { encodeBundle } = await import('./receipts/bundle.js');
    const ring = await this.keyRing();
    const pems = new Map<string, string | null>();
    const store = await this.store();
    (await this.writer()).logOlderReceipts();
    return ({ receiptId, keyId, envelope }) => {
      const pem = pems.get(keyId) ?? ring.publicKeyOf(keyId);
      pems.set(keyId, pem);
      if (pem === null)
        throw new GlasshouseError('key_invalid', `The public key ${keyId} is gone from the key directory.`);
      const proof = store.proofOf(receiptId);
      if (proof === null) throw new GlasshouseError('log_corrupt', `The log has no entry for ${receiptId}.`);
      return encodeBundle({ receiptId, envelopeBytes: envelope }, pem, proof);
    };
  }

  async redactor(): Promise<Redactor> {
    const { Redactor } = await import('./redaction/redactor.js');
    const { RedactionRules } = await import('./redaction/redaction-rules.js');
    const { openRedactionKey } = await import('./redaction/redaction-key.js');
    // Rules first: a configuration that is wrong leaves no key behind.
    const rules = new RedactionRules(this.config);
    return new Redactor(openRedactionKey(path.join(this.#keyDirectory, 'redaction-key')), rules);
  }

  async bundle(receiptId: string): Promise<Uint8Array> {
    const receipt = (await this.store()).get(receiptId);
    if (receipt === null) throw new GlasshouseError('not_found', `There is no receipt ${receiptId}.`);
    return (await this.bundleEncoder())(receipt);
  }

  async engine(backend: ExecutionBackend): Promise<Engine> {
    const { Engine } = await import('./engine/engine.js');
    const store = await this.store();
    const writer = await this.writer();
    const { signer } = await this.keyRing();
    const redactor = await this.redactor();
    writer.assertWorks();
    await this.#recover(store, writer, redactor);
    const engine = new Engine({
      backend,
      store,
      writer,
      signer,
      redactor,
      admission: admissionLimits(this.config),
      inlineFileBytes: this.config.inlineFileBytes,
    });
    this.#engines.push(engine);
    return engine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const engine of this.#engines) await engine.settled();
    for (const backend of this.#backends) await backend.close();
    // Why it could not be opened was thrown to whoever asked for it.
    const store = await this.#store?.catch(() => null);
    store?.close();
  }

  get #keyDirectory(): string {
    return path.join(this.config.dataDir, 'keys');
  }

  async #openStore(): Promise<ReceiptStore> {
    const { ReceiptStore } = await import('./receipts/store.js');
    return ReceiptStore.open(this.config.dataDir);
  }

  async #openKeyRing(): Promise<KeyRing> {
    const { KeyRing } = await import('./receipts/key-ring.js');
    return KeyRing.open(this.#keyDirectory);
  }

  async #makeWriter(): Promise<ReceiptWriter> {
    const { ReceiptWriter } = await import('./receipts/store-writer.js');
    return new ReceiptWriter(await this.store(), (await this.keyRing()).logSigner);
  }

  async #recover(store: ReceiptStore, writer: ReceiptWriter, redactor: Redactor): Promise<void> {
    if (store.unfinished().length === 0) return;
    const { recoverUnfinished } = await import('./engine/recovery.js');
    const { killLeftovers } = await import('./backends/process/process-tree.js');
    await recoverUnfinished({
      store,
      writer,
      signer: (await this.keyRing()).signer,
      redactor,
      killLeftovers: async (executionId) => {
        await killLeftovers(executionId);
      },
    });
  }
}

void runCommandLine(
  process.argv.slice(2),
  (flags, configFile) => new ComposedServices(flags, configFile),
).then((exitCode) => {
  process.exitCode = exitCode;
});
