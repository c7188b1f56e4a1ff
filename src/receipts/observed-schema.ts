import {
  type DeniedCall,
  FILE_CHANGES,
  FILE_FAILURES,
  type FileAccess,
  type FileChange,
  type FileDeletion,
  type FileFailure,
  type FileRename,
  type FileSystemRecord,
  type HostObservation,
  NETWORK_OPERATIONS,
  type NetworkAttempt,
  type NetworkName,
  type NetworkPeer,
  type NetworkRecord,
  type NotableCall,
  type NotObserved,
  type Observation,
  type ObservedImage,
  type ObservedProcess,
  type ObservedTotals,
  PATH_MARKS,
  type ProcessResources,
  type SystemCallRecord,
} from './observed.js';
import {
  arrayOf,
  boolean,
  integer,
  matching,
  nullable,
  objectOf,
  oneOf,
  recordOf,
  type Schema,
  string,
  text,
  variants,
} from './schema.js';

/** More than one receipt has room for. */
const MAX_ITEMS = 100_000;
/** Linux's MAX_ARG_STRLEN. */
const MAX_ARGUMENT_LENGTH = 131_072;
/** Linux's PATH_MAX, and what a chain of directories can make of it. */
const MAX_PATH_LENGTH = 65_536;
/** As many processes as are named at one deed. */
export const MAX_NAMED_PROCESSES = 1_000;

const category = /^[a-z][a-z0-9_]{0,63}$/;
const counts = recordOf(category, integer(), { max: 64 });
const path = text({ maxLength: MAX_PATH_LENGTH });
const marks = arrayOf(oneOf(...PATH_MARKS), { max: PATH_MARKS.length });
const errorName = matching(/^E[A-Z0-9]{1,31}$/, 'the name of an error');
const callName = matching(/^[a-z_][a-z0-9_]{0,63}$/, 'the name of a system call');
const shortName = matching(category, 'a short name');
const deeds = {
  processes: arrayOf(integer({ min: 1 }), { max: MAX_NAMED_PROCESSES }),
  count: integer({ min: 1 }),
};

const notObserved = objectOf<NotObserved>({
  level: oneOf('none'),
  reason: string({ maxLength: 4_096 }),
  events: oneOf(0),
  dropped: counts,
});

const hostObservation = objectOf<HostObservation>({
  level: oneOf('host'),
  reason: nullable(string({ maxLength: 4_096 })),
  complete: boolean,
  blind_from_us: nullable(integer()),
  events: integer(),
  dropped: counts,
  omitted: counts,
  hooks: arrayOf(matching(/^[a-z0-9_./:-]{1,128}$/, 'the name of a hook'), { max: 256 }),
  blind_spots: arrayOf(shortName, { max: 64 }),
  totals: nullable(
    objectOf<ObservedTotals>({
      processes: integer(),
      threads: integer(),
      read_bytes: integer(),
      written_bytes: integer(),
      storage_read_bytes: integer(),
      storage_written_bytes: integer(),
    }),
  ),
});

export const OBSERVATION_SCHEMA: Schema<Observation> = variants('level', {
  none: notObserved,
  host: hostObservation,
});

const image = objectOf<ObservedImage>({
  at_us: integer(),
  executable: nullable(path),
  script: nullable(path),
  marks,
  argv: arrayOf(text({ maxLength: MAX_ARGUMENT_LENGTH }), { max: MAX_ITEMS }),
  argv_complete: boolean,
  cwd: nullable(path),
  uid: integer(),
  euid: integer(),
  privileged: boolean,
});

const processResources = objectOf<ProcessResources>({
  max_rss_kb: nullable(integer()),
  user_us: integer(),
  system_us: integer(),
  read_bytes: integer(),
  written_bytes: integer(),
  storage_read_bytes: integer(),
  storage_written_bytes: integer(),
});

export const PROCESS_TREE_SCHEMA: Schema<readonly ObservedProcess[]> = arrayOf(
  objectOf<ObservedProcess>({
    id: integer({ min: 1 }),
    parent: nullable(integer({ min: 1 })),
    pid: integer({ min: 1 }),
    namespace_pid: nullable(integer()),
    started_us: integer(),
    ended_us: nullable(integer()),
    exit_code: nullable(integer({ max: 255 })),
    signal: nullable(matching(/^SIG[A-Z0-9+-]{1,16}$/, 'the name of a signal')),
    threads: nullable(integer({ min: 1 })),
    images: arrayOf(image, { max: MAX_ITEMS }),
    resources: nullable(processResources),
  }),
  { max: MAX_ITEMS },
);

const access = objectOf<FileAccess>({
  path,
  marks,
  processes: deeds.processes,
  count: integer(),
  bytes: nullable(integer()),
  created: boolean,
});

export const FILE_SYSTEM_SCHEMA: Schema<FileSystemRecord> = objectOf<FileSystemRecord>({
  reads: arrayOf(access, { max: MAX_ITEMS }),
  writes: arrayOf(access, { max: MAX_ITEMS }),
  deletes: arrayOf(objectOf<FileDeletion>({ path, marks, ...deeds, directory: boolean }), { max: MAX_ITEMS }),
  renames: arrayOf(objectOf<FileRename>({ from: path, to: path, marks, ...deeds, exchange: boolean }), {
    max: MAX_ITEMS,
  }),
  changes: arrayOf(
    objectOf<FileChange>({
      operation: oneOf(...FILE_CHANGES),
      path,
      target: nullable(path),
      value: nullable(matching(/^[-0-9:]{1,32}$/, 'a mode, owner or length')),
      marks,
      ...deeds,
    }),
    { max: MAX_ITEMS },
  ),
  failures: arrayOf(
    objectOf<FileFailure>({ operation: oneOf(...FILE_FAILURES), path, marks, error: errorName, ...deeds }),
    {
      max: MAX_ITEMS,
    },
  ),
  bytes_read: nullable(integer()),
  bytes_written: nullable(integer()),
});

const endpoint = {
  family: shortName,
  protocol: shortName,
  address: nullable(path),
  port: nullable(integer({ max: 65_535 })),
};

export const NETWORK_SCHEMA: Schema<NetworkRecord> = objectOf<NetworkRecord>({
  attempts: arrayOf(
    objectOf<NetworkAttempt>({
      operation: oneOf(...NETWORK_OPERATIONS),
      ...endpoint,
      error: nullable(errorName),
      ...deeds,
    }),
    { max: MAX_ITEMS },
  ),
  peers: arrayOf(
    objectOf<NetworkPeer>({
      ...endpoint,
      processes: deeds.processes,
      count: integer(),
      bytes_sent: nullable(integer()),
      bytes_received: nullable(integer()),
    }),
    { max: MAX_ITEMS },
  ),
  names: arrayOf(objectOf<NetworkName>({ name: text({ maxLength: 1_024 }), ...deeds }), { max: MAX_ITEMS }),
  bytes_sent: nullable(integer()),
  bytes_received: nullable(integer()),
});

export const SYSTEM_CALLS_SCHEMA: Schema<SystemCallRecord> = objectOf<SystemCallRecord>({
  counts: recordOf(/^[a-z_][a-z0-9_]{0,63}$/, integer({ min: 1 }), { max: 4_096 }),
  denied: arrayOf(
    objectOf<DeniedCall>({ name: callName, error: oneOf('EACCES', 'EPERM'), count: integer({ min: 1 }) }),
    { max: 4_096 },
  ),
  notable: arrayOf(objectOf<NotableCall>({ name: callName, succeeded: integer(), ...deeds }), { max: 4_096 }),
});
