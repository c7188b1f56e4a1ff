import {
  FILE_SYSTEM_SCHEMA,
  NETWORK_SCHEMA,
  OBSERVATION_SCHEMA,
  PROCESS_TREE_SCHEMA,
  SYSTEM_CALLS_SCHEMA,
} from './observed-schema.js';
import {
  type Artifacts,
  EXECUTION_STATUSES,
  type Environment,
  type Execution,
  type InputFileRecord,
  type LimitsRecord,
  type Outcome,
  type OutputFileRecord,
  type Predicate,
  PREDICATE_TYPE,
  PROVENANCES,
  type RecordedVariable,
  type Redaction,
  type Request,
  type Resources,
  type Statement,
  STATEMENT_TYPE,
  type Subject,
  type Timing,
} from './receipt.js';
import {
  arrayOf,
  boolean,
  integer,
  matching,
  nullable,
  objectOf,
  oneOf,
  optional,
  recordOf,
  type Schema,
  sha256Hex,
  string,
  text,
  timestamp,
} from './schema.js';

/** Linux's MAX_ARG_STRLEN: no argument or environment string is longer. */
const MAX_ARGUMENT_LENGTH = 131_072;
const MAX_PATH_LENGTH = 4_095;
const MAX_ITEMS = 100_000;
/** More than fit into the largest payload. */
const MAX_REDACTED_FIELDS = 1_000_000;
const FIELD_NAME = /^[a-z][a-z0-9_]{0,63}$/;

const shortText = string({ maxLength: 256 });
const path = text({ maxLength: MAX_PATH_LENGTH });
const argument = text({ maxLength: MAX_ARGUMENT_LENGTH });
const uuidV7 = matching(
  /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  'a lower-case UUIDv7',
);

const limits = objectOf<LimitsRecord>({
  memory_mb: integer({ min: 1 }),
  cpus: integer({ min: 1 }),
  disk_mb: integer({ min: 1 }),
  pids: integer({ min: 1 }),
  output_bytes: nullable(integer()),
});

const request = objectOf<Request>({
  kind: oneOf('python', 'command'),
  code_sha256: nullable(sha256Hex),
  argv: arrayOf(argument, { max: MAX_ITEMS }),
  env_names: arrayOf(argument, { max: MAX_ITEMS }),
  env_values: optional(
    arrayOf(objectOf<RecordedVariable>({ name: argument, value: argument }), { max: MAX_ITEMS }),
  ),
  stdin_sha256: nullable(sha256Hex),
  input_files: arrayOf(objectOf<InputFileRecord>({ path, sha256: sha256Hex, size_bytes: integer() }), {
    max: MAX_ITEMS,
  }),
  timeout_ms: nullable(integer()),
  limits: nullable(limits),
});

const outcome = objectOf<Outcome>({
  status: oneOf(...EXECUTION_STATUSES),
  exit_code: nullable(integer({ max: 255 })),
  signal: nullable(matching(/^SIG[A-Z0-9+-]{1,16}$/, 'the name of a signal')),
  error: nullable(
    objectOf<NonNullable<Outcome['error']>>({
      code: matching(FIELD_NAME, 'an error code'),
      message: string({ maxLength: 65_536 }),
    }),
  ),
});

const timing = objectOf<Timing>({
  queue_ms: integer(),
  boot_ms: integer(),
  run_ms: integer(),
  boot_stages: recordOf(/^[a-z][a-z0-9_]{0,60}_us$/, integer(), { max: 64 }),
});

const resources = objectOf<Resources>({
  source: oneOf('host', 'guest'),
  max_rss_kb: integer(),
  cpu_time_ms: integer(),
  user_us: integer(),
  system_us: integer(),
});

const execution = objectOf<Execution>({
  backend: shortText,
  isolation: shortText,
  start: nullable(oneOf('cold', 'restored', 'pooled')),
  snapshot: optional(nullable(objectOf<NonNullable<Execution['snapshot']>>({ sha256: sha256Hex, age_ms: integer() }))),
  vmm_version: nullable(shortText),
  image: nullable(recordOf(/^[a-z][a-z0-9_.-]{0,63}$/, shortText, { max: 64 })),
  notes: arrayOf(string({ maxLength: 4_096 }), { max: 256 }),
});

const environment = objectOf<Environment>({
  glasshouse_version: shortText,
  node_version: shortText,
  os: shortText,
  architecture: shortText,
  host_kernel: shortText,
});

const artifacts = objectOf<Artifacts>({
  stdout_sha256: nullable(sha256Hex),
  stdout_bytes: nullable(integer()),
  stdout_complete: boolean,
  stderr_sha256: nullable(sha256Hex),
  stderr_bytes: nullable(integer()),
  stderr_complete: boolean,
  streams_combined: boolean,
  files: arrayOf(
    objectOf<OutputFileRecord>({
      path,
      size_bytes: integer(),
      mode: matching(/^[0-7]{4}$/, 'four octal digits'),
      sha256: nullable(sha256Hex),
      omitted: nullable(matching(FIELD_NAME, 'a reason')),
    }),
    { max: MAX_ITEMS },
  ),
  files_complete: boolean,
});

const redaction = objectOf<Redaction>({
  key_id: matching(/^[0-9a-f]{16}$/, 'the id of a redaction key'),
  fields: arrayOf(string({ maxLength: 256 }), { max: MAX_REDACTED_FIELDS }),
});

const predicate = objectOf<Predicate>({
  version: oneOf(1),
  execution_id: uuidV7,
  provenance: oneOf(...PROVENANCES),
  timestamp,
  finished_at: timestamp,
  request,
  outcome,
  timing,
  resources: nullable(resources),
  execution,
  process_tree: PROCESS_TREE_SCHEMA,
  filesystem: nullable(FILE_SYSTEM_SCHEMA),
  network: nullable(NETWORK_SCHEMA),
  syscalls: nullable(SYSTEM_CALLS_SCHEMA),
  observation: OBSERVATION_SCHEMA,
  environment,
  artifacts,
  redaction: optional(redaction),
});

/** Every field of a receipt, typed and bounded; the compiler holds it against the types in receipt.ts. */
export const STATEMENT_SCHEMA: Schema<Statement> = objectOf<Statement>({
  _type: oneOf(STATEMENT_TYPE),
  predicateType: oneOf(PREDICATE_TYPE),
  predicate,
  subject: arrayOf(
    objectOf<Subject>({
      name: string({ maxLength: 3 * MAX_PATH_LENGTH }),
      digest: objectOf<Subject['digest']>({ sha256: sha256Hex }),
    }),
    { max: MAX_ITEMS + 2 },
  ),
});
