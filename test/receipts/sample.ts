/** Shared by the tests of this room: a small, valid receipt, and the key of RFC 8032 section 7.1, TEST 1. */
import { privateKeyPem } from './private-key.js';
import { sampleProof } from './sample-log.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { KeyVerifier } from '../../src/receipts/verifier.js';
import { encodeBundle } from '../../src/receipts/bundle.js';
import { canonicalBytes } from '../../src/receipts/canonical-json.js';
import { sha256 } from '../../src/receipts/crypto.js';
import { envelopeToJson, preAuthenticationEncoding } from '../../src/receipts/dsse.js';
import { PAYLOAD_TYPE, type Predicate, type Statement } from '../../src/receipts/receipt.js';
import { buildStatement, type SignedReceipt, signStatement } from '../../src/receipts/statement.js';

export const RFC8032_TEST1_SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';

export { privateKeyPem } from './private-key.js';

export const SIGNER = KeySigner.fromPem(privateKeyPem(RFC8032_TEST1_SEED));
export const VERIFIER = KeyVerifier.fromPem(SIGNER.publicKeyPem);

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Execution number `number`, a UUIDv7 that counts up. */
export function executionId(number = 1): string {
  return `01890a5d-ac96-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

export function samplePredicate(overrides: Partial<Predicate> = {}): Predicate {
  return {
    version: 1,
    execution_id: executionId(),
    provenance: 'host+guest',
    timestamp: '2025-01-02T03:04:05.678Z',
    finished_at: '2025-01-02T03:04:07.901Z',
    request: {
      kind: 'python',
      code_sha256: sha256(utf8('print(2+2)')),
      argv: [],
      env_names: ['LANG'],
      stdin_sha256: sha256(utf8('')),
      input_files: [{ path: 'in.txt', sha256: sha256(utf8('hello')), size_bytes: 5 }],
      timeout_ms: 30_000,
      limits: { memory_mb: 128, cpus: 1, disk_mb: 64, pids: 64, output_bytes: 1_048_576 },
    },
    outcome: { status: 'ok', exit_code: 0, signal: null, error: null },
    timing: {
      queue_ms: 0,
      boot_ms: 2_100,
      run_ms: 123,
      boot_stages: { workspace_us: 4_000, kernel_us: 2_000_000 },
    },
    resources: {
      source: 'guest',
      max_rss_kb: 9_000,
      cpu_time_ms: 60,
      user_us: 50_000,
      system_us: 10_000,
    },
    execution: {
      backend: 'qemu',
      isolation: 'vm-tcg',
      start: 'cold',
      vmm_version: 'QEMU 7.2.22',
      image: { kernel: 'a'.repeat(64), root: 'b'.repeat(64) },
      notes: [],
    },
    process_tree: [],
    filesystem: null,
    network: null,
    syscalls: null,
    observation: { level: 'none', reason: 'no profiler was asked for', events: 0, dropped: {} },
    environment: {
      glasshouse_version: '0.1.0',
      node_version: 'v20.20.2',
      os: 'linux',
      architecture: 'x64',
      host_kernel: '6.1.0-25-amd64',
    },
    artifacts: {
      stdout_sha256: sha256(utf8('4\n')),
      stdout_bytes: 2,
      stdout_complete: true,
      stderr_sha256: sha256(utf8('')),
      stderr_bytes: 0,
      stderr_complete: true,
      streams_combined: false,
      files: [
        { path: 'out.txt', size_bytes: 3, mode: '0644', sha256: sha256(utf8('out')), omitted: null },
        { path: { base64: '/w==' }, size_bytes: 0, mode: '0600', sha256: sha256(utf8('')), omitted: null },
        { path: 'link', size_bytes: 0, mode: '0777', sha256: null, omitted: 'not_a_regular_file' },
      ],
      files_complete: true,
    },
    ...overrides,
  };
}

export async function sampleReceipt(
  overrides: Partial<Predicate> = {},
): Promise<{ statement: Statement; receipt: SignedReceipt }> {
  const statement = buildStatement(samplePredicate(overrides));
  return { statement, receipt: await signStatement(statement, SIGNER) };
}

export async function sampleBundle(): Promise<Uint8Array> {
  const { receipt } = await sampleReceipt();
  return encodeBundle(receipt, SIGNER.publicKeyPem, sampleProof(receipt.envelopeBytes));
}

/** A properly signed bundle around any payload at all: what a careless holder of the key could make. */
export async function bundleOver(payload: Uint8Array, payloadType = PAYLOAD_TYPE): Promise<Uint8Array> {
  const sig = await SIGNER.sign(preAuthenticationEncoding(payloadType, payload));
  const envelope = { payloadType, payload, signatures: [{ keyid: SIGNER.keyId, sig }] };
  const envelopeBytes = canonicalBytes(envelopeToJson(envelope));
  const proof = sampleProof(envelopeBytes);
  return encodeBundle({ receiptId: sha256(payload), envelopeBytes }, SIGNER.publicKeyPem, proof);
}
