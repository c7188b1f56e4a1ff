import { type Command, Option } from 'commander';

import { GlasshouseError } from '../base/errors.js';
import { SETTINGS } from '../config/settings.js';
import { EXECUTION_STATUSES, type ExecutionStatus } from '../receipts/receipt.js';
import { type ReceiptFilter } from '../receipts/store-filter.js';
import { type Define, type Flags } from './define.js';
import { parseAgeMs, parseMoment, parseSizeBytes } from './moment.js';
import { type ExportFormat } from './receipts-export.js';

const LARGEST_PAGE = 1_000;

/** `glasshouse receipts ...` */
export function defineReceiptCommands(define: Define, program: Command): void {
  const receipts = program.command('receipts').description('look at stored receipts').exitOverride();
  defineList(define, receipts);
  defineShow(define, receipts);
  defineDiff(define, receipts);
  defineExport(define, receipts);
  definePrune(define, receipts);
}

function defineList(define: Define, receipts: Command): void {
  const list = define(receipts, 'list', ['data_dir'], async (services, console, flags) =>
    (await import('./receipts-list.js')).listReceipts(services, console, {
      limit: pageSize(flags['limit']),
      before: textOrNull(flags['before']),
      filter: filterOf(flags),
      wide: flags['wide'] === true,
      json: flags['json'] === true,
    }),
  )
    .description('the newest receipts')
    .option('--limit <n>', 'how many, 1 to 1000', '20')
    .option('--before <id>', 'only those that are older than this one: the next page');
  addFilterOptions(list)
    .option('--wide', 'also what was run, in lines of more than 80 characters')
    .option('--json', 'for programs');
}

function defineShow(define: Define, receipts: Command): void {
  define(receipts, 'show', ['data_dir'], async (services, console, flags, args) =>
    (await import('./receipts-show.js')).showReceipt(services, console, {
      id: args[0] ?? 'latest',
      all: flags['all'] === true,
      json: flags['json'] === true,
    }),
  )
    .description('one receipt, to read')
    .argument('[id]', 'id, the beginning of one, or latest', 'latest')
    .option('--all', 'everything that was observed, however long')
    .option('--json', 'the whole statement');
}

function defineDiff(define: Define, receipts: Command): void {
  define(receipts, 'diff', ['data_dir'], async (services, console, flags, [a = 'latest', b = 'latest']) =>
    (await import('./receipts-diff.js')).diffReceipts(services, console, {
      a,
      b,
      json: flags['json'] === true,
    }),
  )
    .description('what one run did that the other did not')
    .argument('<a>', 'id, the beginning of one, or latest')
    .argument('<b>', 'the same of the other one')
    .option('--json', 'for programs');
}

function defineExport(define: Define, receipts: Command): void {
  const command = define(receipts, 'export', ['data_dir'], async (services, _console, flags, args) => {
    const { exportReceipt, exportReceipts } = await import('./receipts-export.js');
    const format = flags['format'] as ExportFormat;
    const filter = filterOf(flags);
    if (Object.values(filter).every((part) => part === null))
      return exportReceipt(services, { id: args[0] ?? 'latest', format });
    if (args[0] !== undefined)
      throw new GlasshouseError('configuration_invalid', 'Give either an id or a filter, not both.');
    return exportReceipts(services, { filter, format });
  })
    .description('one receipt as a file, or many as lines, on stdout')
    .argument('[id]', 'id, the beginning of one, or latest; latest unless there is a filter')
    .addOption(
      new Option('--format <format>', 'what to write')
        .choices(['bundle', 'dsse', 'statement', 'sigstore'])
        .default('bundle'),
    );
  addFilterOptions(command);
}

function definePrune(define: Define, receipts: Command): void {
  define(receipts, 'prune', ['data_dir'], async (services, console, flags) =>
    (await import('./receipts-prune.js')).pruneOutputs(services, console, {
      policy: {
        olderThanMs: ifGiven(flags['maxAge'], (text) => Date.now() - parseAgeMs(text)),
        maxBytes: ifGiven(flags['maxBytes'], parseSizeBytes),
      },
      dryRun: flags['dryRun'] === true,
      json: flags['json'] === true,
    }),
  )
    .description('drop stored outputs; the receipts stay')
    .option('--max-age <age>', 'keep outputs of executions that are not older (12h, 30d, 8w)')
    .option('--max-bytes <size>', 'keep the newest outputs of so many bytes (500M, 10G)')
    .option('--dry-run', 'say what would be dropped')
    .option('--json', 'for programs');
}

function addFilterOptions(command: Command): Command {
  return command
    .option('--status <status>', 'only those that ended so; several are separated by commas')
    .option('--since <time>', 'only those that started then or later: 2026-01-31, 2026-01-31T12:00:00Z, 7d')
    .option('--until <time>', 'only those that started before then')
    .addOption(new Option('--backend <name>', 'only those on this backend').choices(BACKENDS))
    .option('--code-hash <sha256>', 'only those of this Python program')
    .option('--text <words>', 'only those with all of these words in arguments, names of files, errors');
}

const BACKENDS = SETTINGS.backend.choices.filter((name) => name !== 'auto');

function filterOf(flags: Flags): ReceiptFilter {
  const now = Date.now();
  return {
    statuses: ifGiven(flags['status'], statusesOf),
    since: ifGiven(flags['since'], (text) => parseMoment(text, now)),
    until: ifGiven(flags['until'], (text) => parseMoment(text, now)),
    backend: textOrNull(flags['backend']),
    codeSha256: ifGiven(flags['codeHash'], sha256Of),
    text: textOrNull(flags['text']),
  };
}

function statusesOf(text: string): readonly ExecutionStatus[] {
  return text.split(',').map((name) => {
    const status = EXECUTION_STATUSES.find((known) => known === name);
    if (status === undefined)
      throw new GlasshouseError(
        'configuration_invalid',
        `${JSON.stringify(name)} is no status; there are: ${EXECUTION_STATUSES.join(', ')}.`,
      );
    return status;
  });
}

function sha256Of(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new GlasshouseError('configuration_invalid', '--code-hash takes 64 hexadecimal digits, lower case.');
}

function pageSize(value: unknown): number {
  const size = Number(value);
  if (Number.isInteger(size) && size >= 1 && size <= LARGEST_PAGE) return size;
  throw new GlasshouseError(
    'configuration_invalid',
    `${String(value)} is not a whole number from 1 to ${LARGEST_PAGE}`,
  );
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function ifGiven<T>(value: unknown, parse: (text: string) => T): T | null {
  return typeof value === 'string' ? parse(value) : null;
}
