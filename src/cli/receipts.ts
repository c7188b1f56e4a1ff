import { GlasshouseError } from '../base/errors.js';
import { parseReceiptFile } from '../receipts/bundle.js';
import { type Predicate, type Statement, type Text } from '../receipts/receipt.js';
import { encodeSigstoreBundle } from '../receipts/sigstore.js';
import { type ReceiptStore, type ReceiptSummary } from '../receipts/store.js';
import { type Console } from './console.js';
import { type Services } from './services.js';

const SHORT_ID_LENGTH = 12;

/** `glasshouse receipts list`: newest first. */
export async function listReceipts(
  services: Services,
  console: Console,
  options: { readonly limit: number; readonly json: boolean },
): Promise<number> {
  const summaries = (await services.store()).list({ limit: options.limit, before: null });
  if (options.json) {
    console.json(summaries.map(summaryJson));
    return 0;
  }
  const rows = summaries.map((one) => [
    one.receiptId.slice(0, SHORT_ID_LENGTH),
    one.timestamp,
    one.status,
    one.signal ?? (one.exitCode === null ? '-' : String(one.exitCode)),
    one.kind,
    `${one.backend} (${one.isolation})`,
  ]);
  console.table(['RECEIPT', 'STARTED', 'STATUS', 'EXIT', 'KIND', 'BACKEND'], rows);
  return 0;
}

/** `glasshouse receipts show`: one receipt for a person to read. */
export async function showReceipt(
  services: Services,
  console: Console,
  options: { readonly id: string; readonly json: boolean },
): Promise<number> {
  const statement = statementOf(await services.store(), options.id);
  if (options.json) console.json(statement);
  else printPredicate(console, resolveId(await services.store(), options.id), statement.predicate);
  return 0;
}

export type ExportFormat = 'bundle' | 'dsse' | 'statement' | 'sigstore';

/** `glasshouse receipts export`: the bytes of one receipt, as `glasshouse verify` takes them. */
export async function exportReceipt(
  services: Services,
  options: { readonly id: string; readonly format: ExportFormat },
): Promise<number> {
  const store = await services.store();
  const id = resolveId(store, options.id);
  process.stdout.write(await exported(services, store, id, options.format));
  return 0;
}

async function exported(
  services: Services,
  store: ReceiptStore,
  id: string,
  format: ExportFormat,
): Promise<Uint8Array | string> {
  switch (format) {
    case 'bundle':
      return services.bundle(id);
    case 'dsse':
      return requireReceipt(store, id).envelope;
    case 'sigstore':
      return encodeSigstoreBundle(requireReceipt(store, id).envelope);
    case 'statement':
      return Buffer.from(parseReceiptFile(requireReceipt(store, id).envelope).envelope.payload);
  }
}

/** A full id, `latest`, or the beginning of an id that only one of the newest receipts has. */
function resolveId(store: ReceiptStore, id: string): string {
  if (/^[0-9a-f]{64}$/.test(id)) return id;
  const newest = store.list({ limit: id === 'latest' ? 1 : 1000, before: null });
  const matches = id === 'latest' ? newest : newest.filter((one) => one.receiptId.startsWith(id));
  const [match, ...others] = matches;
  if (match !== undefined && others.length === 0) return match.receiptId;
  const why = match === undefined ? 'No receipt has' : 'More than one receipt has';
  throw new GlasshouseError('not_found', `${why} an id that begins with ${JSON.stringify(id)}.`);
}

function requireReceipt(store: ReceiptStore, id: string): { readonly envelope: Uint8Array } {
  const receipt = store.get(id);
  if (receipt === null) throw new GlasshouseError('not_found', `There is no receipt ${id}.`);
  return receipt;
}

function statementOf(store: ReceiptStore, id: string): Statement {
  const { envelope } = requireReceipt(store, resolveId(store, id));
  const { payload } = parseReceiptFile(envelope).envelope;
  return JSON.parse(Buffer.from(payload).toString('utf8')) as Statement;
}

function summaryJson(one: ReceiptSummary): object {
  return {
    receipt_id: one.receiptId,
    execution_id: one.executionId,
    timestamp: one.timestamp,
    kind: one.kind,
    status: one.status,
    exit_code: one.exitCode,
    signal: one.signal,
    backend: one.backend,
    isolation: one.isolation,
  };
}

function printPredicate(console: Console, id: string, predicate: Predicate): void {
  const { request, outcome, timing, resources, execution, artifacts } = predicate;
  const section = (heading: string, lines: readonly (readonly [string, string])[]): void => {
    console.line(console.style('bold', heading));
    for (const [name, value] of lines) console.line(`  ${name.padEnd(12)} ${console.printable(value)}`);
  };
  section(`receipt ${id}`, [
    ['execution', predicate.execution_id],
    ['started', predicate.timestamp],
    ['finished', predicate.finished_at],
    ['seen by', predicate.provenance],
  ]);
  section('outcome', [
    ['status', outcome.status],
    ['exit', outcome.signal ?? String(outcome.exit_code ?? '-')],
    ...(outcome.error === null
      ? []
      : [['error', `${outcome.error.code}: ${outcome.error.message}`] as const]),
  ]);
  section('request', [
    [request.kind, request.argv.map(textForPeople).join(' ') || '-'],
    ...(request.code_sha256 === null ? [] : [['code sha256', request.code_sha256] as const]),
    ['deadline', request.timeout_ms === null ? 'none' : `${request.timeout_ms} ms`],
  ]);
  section('execution', [
    ['backend', `${execution.backend}, isolation ${execution.isolation}, ${execution.start} start`],
    ['monitor', execution.vmm_version ?? 'none'],
    ['timing', `queue ${timing.queue_ms} ms, boot ${timing.boot_ms} ms, run ${timing.run_ms} ms`],
    [
      'resources',
      resources === null ? 'not measured' : `${resources.max_rss_kb} KiB, ${resources.cpu_time_ms} ms CPU`,
    ],
    ...execution.notes.map((note) => ['note', note] as const),
  ]);
  section('output', [
    ['stdout', streamForPeople(artifacts.stdout_sha256, artifacts.stdout_bytes, artifacts.stdout_complete)],
    ['stderr', streamForPeople(artifacts.stderr_sha256, artifacts.stderr_bytes, artifacts.stderr_complete)],
    ...artifacts.files.map(
      (file) =>
        [
          'file',
          `${textForPeople(file.path)} ${file.size_bytes} bytes ${file.sha256 ?? file.omitted ?? ''}`,
        ] as const,
    ),
  ]);
  section('observation', [[predicate.observation.level, predicate.observation.reason ?? 'complete']]);
}

function textForPeople(text: Text): string {
  return typeof text === 'string' ? text : `base64:${text.base64}`;
}

function streamForPeople(sha256: string | null, bytes: number | null, complete: boolean): string {
  if (sha256 === null) return 'not captured';
  return `${bytes ?? 0} bytes ${sha256}${complete ? '' : ' (not all of it)'}`;
}
