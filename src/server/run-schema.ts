import Type, { type Static } from 'typebox';
import { EXECUTION_STATUSES } from '../receipts/receipt.js';

const STRICT = { additionalProperties: false } as const;
/** One day; timers count no further than 24 of them. */
const LONGEST_DEADLINE_MS = 24 * 60 * 60 * 1000;
const LARGEST = Number.MAX_SAFE_INTEGER;

export const MOST_ENTRIES = 1000;
export const ENVIRONMENT_NAME = '^[A-Za-z_][A-Za-z0-9_]*$';

const optionalLimit = (minimum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum: LARGEST, description }));

const InputFile = Type.Object(
  {
    path: Type.String({
      minLength: 1,
      description:
        'Relative to the workspace, `/`-separated. No empty, `.` or `..` segment, no control character; at most 4,095 bytes, a segment at most 255; at most 64 segments. Not `code.py`.',
    }),
    content: Type.String({ description: 'The bytes of the file, in `encoding`.' }),
    encoding: Type.Optional(
      Type.Enum(['utf8', 'base64'], {
        default: 'utf8',
        description: 'How `content` is written. base64 is the standard alphabet with padding (RFC 4648, 4).',
      }),
    ),
    executable: Type.Optional(Type.Boolean({ default: false, description: 'Mode 0755 instead of 0644.' })),
  },
  STRICT,
);

const Limits = Type.Object(
  {
    memory_mb: optionalLimit(16, 'Memory of the program in MiB.'),
    cpus: optionalLimit(1, 'Virtual CPUs.'),
    disk_mb: optionalLimit(1, 'Size of the workspace in MiB.'),
    pids: optionalLimit(1, 'Processes and threads that may exist at once.'),
    output_bytes: optionalLimit(
      1,
      'Bytes of stdout and of stderr, each, before the execution ends with `output_limit`.',
    ),
  },
  { ...STRICT, description: 'Each has a default and a maximum; see docs/configuration.md.' },
);

/** Requests for the documentation; each is accepted with the default settings. */
export const RUN_EXAMPLES = [
  { code: 'print(2+2)' },
  {
    code: 'import sys\nprint(open("name.txt").read(), sys.argv[1])',
    args: ['!'],
    files: [{ path: 'name.txt', content: 'Ada' }],
    timeout_ms: 5000,
    limits: { memory_mb: 256 },
  },
] as const;

export const RunBody = Type.Object(
  {
    code: Type.String({ minLength: 1, description: 'The program. No NUL character.' }),
    language: Type.Optional(Type.Literal('python', { default: 'python' })),
    args: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: MOST_ENTRIES,
        description:
          '`sys.argv[1:]`. Each at most 65,536 bytes; together with `env` at most 1 MiB. No NUL character.',
      }),
    ),
    stdin: Type.Optional(
      Type.String({ description: 'What the program reads from stdin; without it, end of file at once.' }),
    ),
    env: Type.Optional(
      Type.Unsafe<Record<string, string>>({
        type: 'object',
        propertyNames: { type: 'string', pattern: ENVIRONMENT_NAME },
        additionalProperties: { type: 'string' },
        maxProperties: MOST_ENTRIES,
        description: 'Environment variables. `NAME=value` at most 65,536 bytes. No NUL character.',
      }),
    ),
    files: Type.Optional(
      Type.Array(InputFile, {
        maxItems: MOST_ENTRIES,
        description: 'Files that are put into the workspace.',
      }),
    ),
    timeout_ms: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LARGEST,
        description: 'Milliseconds from the first instruction of the program until it is ended.',
      }),
    ),
    deadline_ms: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LONGEST_DEADLINE_MS,
        description:
          'Milliseconds from the request until the program is ended, the wait for its turn and the boot included. If they pass before it is its turn, nothing is started (`deadline_exceeded`).',
      }),
    ),
    limits: Type.Optional(Limits),
    fresh: Type.Optional(
      Type.Boolean({
        description:
          'True: a virtual machine boots for this program, even where one could be cloned from a snapshot.',
      }),
    ),
    network: Type.Optional(
      Type.Boolean({ default: false, description: 'Only false: programs have no network.' }),
    ),
  },
  {
    ...STRICT,
    title: 'Run request',
    examples: [...RUN_EXAMPLES],
  },
);
export type RunBody = Static<typeof RunBody>;

const Nullable = <S extends Type.TSchema>(schema: S) => Type.Union([schema, Type.Null()]);
const Count = (description: string) => Type.Integer({ minimum: 0, description });
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

const OutputFile = Type.Object(
  {
    path: Type.String({
      description: 'Relative to the workspace; U+FFFD stands for bytes that are not UTF-8.',
    }),
    path_base64: Type.Optional(Type.String({ description: 'The exact name, only if it is not UTF-8.' })),
    size: Count('Bytes.'),
    mode: Type.String({ pattern: '^[0-7]{4}$', description: 'Permission bits, in octal.' }),
    sha256: Nullable(Sha256),
    omitted: Nullable(Type.Enum(['not_a_regular_file', 'too_large', 'too_many_files', 'unreadable'])),
    content: Type.Optional(Type.String({ description: 'The bytes, if they fit into the answer.' })),
    encoding: Type.Optional(
      Type.Enum(['utf8', 'base64'], { description: 'How `content` is written; there if `content` is.' }),
    ),
  },
  STRICT,
);

const stream = (name: 'stdout' | 'stderr') =>
  ({
    text: Type.String({
      description: `What was kept of ${name}; U+FFFD stands for bytes that are not UTF-8.`,
    }),
    bytes: Count(`Bytes that the program wrote to ${name}.`),
    truncated: Type.Boolean({ description: `True if the program wrote more to ${name} than was kept.` }),
    base64: Type.Optional(
      Type.String({ description: `The exact bytes that were kept of ${name}, only if they are not UTF-8.` }),
    ),
  }) as const;
const [stdout, stderr] = [stream('stdout'), stream('stderr')];

export const RunAnswer = Type.Object(
  {
    receipt_id: Sha256,
    execution_id: Type.String({ description: 'UUIDv7.' }),
    status: Type.Enum([...EXECUTION_STATUSES]),
    exit_code: Nullable(Type.Integer({ minimum: 0, maximum: 255 })),
    signal: Nullable(Type.String({ description: 'For example `SIGSEGV`.' })),
    stdout: stdout.text,
    stderr: stderr.text,
    stdout_bytes: stdout.bytes,
    stdout_truncated: stdout.truncated,
    stdout_base64: stdout.base64,
    stderr_bytes: stderr.bytes,
    stderr_truncated: stderr.truncated,
    stderr_base64: stderr.base64,
    duration_ms: Type.Number({ minimum: 0, description: 'From the request to the stored receipt.' }),
    timings: Type.Object(
      {
        queue_ms: Type.Number({ minimum: 0 }),
        boot_ms: Type.Number({ minimum: 0 }),
        run_ms: Type.Number({ minimum: 0 }),
        collect_ms: Type.Number({ minimum: 0 }),
        receipt_ms: Type.Number({ minimum: 0 }),
      },
      STRICT,
    ),
    files: Type.Array(OutputFile, { description: 'What the program left in the workspace.' }),
    files_complete: Type.Boolean({ description: 'False if the workspace could not be read to its end.' }),
    error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() }, STRICT)),
  },
  { ...STRICT, title: 'Run answer' },
);
export type RunAnswer = Static<typeof RunAnswer>;

export const RunEvents = Type.String({
  title: 'Run events',
  description: [
    'Server-sent events (HTML Living Standard, 9.2). The data of each is one line of JSON:',
    '`queued` {waiting}: it has to wait for its turn, with so many;',
    '`started` {execution_id}: the program runs;',
    '`stdout` and `stderr` {offset, encoding, data}: bytes that it wrote, from that byte of the stream on, `encoding` being `utf8` or `base64`;',
    'in the end either `result`, the answer as it is without events, or `problem`, a problem document.',
    'Comments show that the server lives. What fails before the first event is answered without events.',
  ].join(' '),
  examples: [
    'event: started\ndata: {"execution_id":"01a2090a-6666-7011-9099-e55f9068994e"}\n\nevent: stdout\ndata: {"offset":0,"encoding":"utf8","data":"4\\n"}\n\n',
  ],
});
