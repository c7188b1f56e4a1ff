import { join } from 'node:path';
import { SECRET_FLAGS, SECRET_NAMES } from './secret-defaults.js';
import {
  type CamelCase,
  type ChoiceSetting,
  type IntegerSetting,
  type Setting,
  type Surroundings,
  type ValueOf,
} from './setting.js';

const MIB = 1024 * 1024;
const LARGEST_PORT = 65_535;
/** Part of the memory that executions may take; the rest is for the server and the system's caches. */
const MEMORY_SHARE = 0.75;
const SMALLEST_TOTAL_MEMORY_MB = 512;
const ONE_DAY_MS = 24 * 60 * 60 * 1000;

function integer(
  defaultValue: IntegerSetting['default'],
  range: { minimum: number; maximum: number },
  description: string,
  defaultText?: string,
): IntegerSetting {
  const setting = { kind: 'integer', ...range, default: defaultValue, description } as const;
  return defaultText === undefined ? setting : { ...setting, defaultText };
}

function choice<const Choice extends string>(
  choices: readonly Choice[],
  defaultValue: NoInfer<Choice>,
  description: string,
): ChoiceSetting<Choice> {
  return { kind: 'choice', choices, default: defaultValue, description };
}

function defaultDataDirectory(surroundings: Surroundings): string {
  if (surroundings.isRoot) return '/var/lib/glasshouse';
  const xdg = surroundings.environment['XDG_DATA_HOME'];
  // The XDG base directory specification says that relative values are to be ignored.
  const base = xdg?.startsWith('/') === true ? xdg : join(surroundings.homeDirectory, '.local/share');
  return join(base, 'glasshouse');
}

/**
 * Every setting: the one table that flags, environment variables, the file, the types and
 * docs/configuration.md follow.
 */
export const SETTINGS = {
  data_dir: {
    kind: 'path',
    default: defaultDataDirectory,
    defaultText:
      '`/var/lib/glasshouse` for root, else `$XDG_DATA_HOME/glasshouse` or `~/.local/share/glasshouse`',
    description: 'Directory of the receipts, the keys and everything else that is kept.',
  },
  image_dir: {
    kind: 'path',
    default: (surroundings: Surroundings) => join(surroundings.packageRoot, 'build/image'),
    defaultText: '`build/image` in the package',
    description: 'Directory of the guest image.',
  },
  debian_mirror: {
    kind: 'text',
    default: '',
    defaultText: "Debian's own servers",
    description: 'Mirror that the packages of the guest image come from; read when an image is built.',
  },
  host: {
    kind: 'text',
    default: '127.0.0.1',
    description: 'Address that the server listens on.',
  },
  port: integer(8080, { minimum: 0, maximum: LARGEST_PORT }, 'TCP port of the server; 0 takes a free one.'),
  allowed_hosts: {
    kind: 'list',
    default: [],
    defaultText: 'none',
    description:
      'Further names that a request may have in its Host header. When any is given, or the server listens on a loopback address, all other names are refused.',
  },
  backend: choice(
    ['auto', 'firecracker', 'qemu', 'process'],
    'auto',
    'Where executions run. `auto`: for the server `firecracker` where a guest boots on it, else `qemu`; for commands on the CLI `process`.',
  ),
  qemu_bin: {
    kind: 'text',
    default: 'qemu-system-x86_64',
    description: 'The QEMU program: a name that is looked up in PATH, or an absolute path.',
  },
  firecracker_bin: {
    kind: 'text',
    default: '',
    defaultText: 'what `glasshouse setup firecracker` has brought, else `firecracker` in PATH',
    description:
      'The Firecracker program, 1.14 to 1.16: a name that is looked up in PATH, or an absolute path.',
  },
  jailer_bin: {
    kind: 'text',
    default: '',
    defaultText: 'the same for `jailer`',
    description: 'The jailer of the same version: a name that is looked up in PATH, or an absolute path.',
  },
  jailer: choice(
    ['on', 'off'],
    'on',
    'Whether Firecracker is jailed, which needs root. `off`, or the flag `--no-jailer`: for development; receipts say so.',
  ),
  accelerator: choice(
    ['auto', 'kvm', 'tcg'],
    'auto',
    'How QEMU runs virtual machines. `auto`: KVM where a guest really boots on it, else emulation.',
  ),
  snapshots: choice(
    ['on', 'off'],
    'on',
    'Whether virtual machines are cloned from a snapshot where that works. `off`: each one boots.',
  ),
  templates: choice(
    ['on', 'off'],
    'on',
    'Whether the server clones an emulated machine by copying the process of one that stands by, in some 120 MB of memory. `off`: each clone goes on from the snapshot by itself, which takes several times as long.',
  ),
  pool_size: integer(
    (surroundings) => Math.min(16, Math.max(2, 2 * surroundings.cpuCount)),
    { minimum: 0, maximum: 1024 },
    'Clones that the server keeps waiting for executions that ask for the default limits.',
    'twice the number of CPUs, 2 to 16',
  ),
  pool_memory_mb: integer(
    (surroundings) => Math.max(128, Math.floor(surroundings.memoryMb / 8)),
    { minimum: 0, maximum: 1_048_576 },
    'Memory that waiting clones may take, in MiB; each counts as 64.',
    'an eighth of the memory',
  ),
  max_concurrent: integer(
    (surroundings) => surroundings.cpuCount,
    { minimum: 1, maximum: 1024 },
    'Executions that run at the same time.',
    'number of CPUs',
  ),
  max_queue: integer(
    64,
    { minimum: 0, maximum: 100_000 },
    'Executions that may wait for their turn; further ones are refused with `overloaded`.',
  ),
  queue_timeout_ms: integer(
    120_000,
    { minimum: 1, maximum: ONE_DAY_MS },
    'Longest time that an execution waits for its turn, in milliseconds; then it is refused with `queue_timeout`.',
  ),
  max_total_memory_mb: integer(
    (surroundings) => Math.max(SMALLEST_TOTAL_MEMORY_MB, Math.floor(surroundings.memoryMb * MEMORY_SHARE)),
    { minimum: 16, maximum: 1_073_741_824 },
    'Memory of all executions that run at the same time, with what isolation costs, in MiB.',
    'three quarters of the memory that the server may use',
  ),
  max_total_cpus: integer(
    (surroundings) => surroundings.cpuCount,
    { minimum: 1, maximum: 65_536 },
    'CPUs of all executions that run at the same time; one that asks for more than these runs alone.',
    'number of CPUs',
  ),
  max_connections: integer(
    512,
    { minimum: 1, maximum: 65_535 },
    'TCP connections that the server keeps open at the same time; further ones are closed at once.',
  ),
  body_limit_bytes: integer(
    32 * MIB,
    { minimum: 1024, maximum: 256 * MIB },
    'Largest body of a request, in bytes.',
  ),
  inline_file_bytes: integer(
    1 * MIB,
    { minimum: 0, maximum: 64 * MIB },
    'Bytes of output files, all together, that an answer carries itself; the rest is fetched by path.',
  ),
  stream_heartbeat_ms: integer(
    15_000,
    { minimum: 10, maximum: 3_600_000 },
    'Time without an event after which an event stream gets a comment, in milliseconds.',
  ),
  default_timeout_ms: integer(
    10_000,
    { minimum: 1, maximum: ONE_DAY_MS },
    'Deadline of an execution that asks for none, in milliseconds.',
  ),
  max_timeout_ms: integer(
    300_000,
    { minimum: 1, maximum: ONE_DAY_MS },
    'Longest deadline that a request may ask for, in milliseconds.',
  ),
  default_memory_mb: integer(
    128,
    { minimum: 16, maximum: 1_048_576 },
    'Memory of an execution that asks for none, in MiB.',
  ),
  max_memory_mb: integer(
    2048,
    { minimum: 16, maximum: 1_048_576 },
    'Most memory that a request may ask for, in MiB.',
  ),
  default_cpus: integer(1, { minimum: 1, maximum: 256 }, 'CPUs of an execution that asks for none.'),
  max_cpus: integer(4, { minimum: 1, maximum: 256 }, 'Most CPUs that a request may ask for.'),
  default_disk_mb: integer(
    64,
    { minimum: 1, maximum: 1_048_576 },
    'Size of the workspace of an execution that asks for none, in MiB.',
  ),
  max_disk_mb: integer(
    1024,
    { minimum: 1, maximum: 1_048_576 },
    'Largest workspace that a request may ask for, in MiB.',
  ),
  default_pids: integer(
    64,
    { minimum: 1, maximum: 4_194_304 },
    'Processes and threads of an execution that asks for no number.',
  ),
  max_pids: integer(
    1024,
    { minimum: 1, maximum: 4_194_304 },
    'Most processes and threads that a request may ask for.',
  ),
  default_output_bytes: integer(
    1 * MIB,
    { minimum: 1, maximum: 1024 * MIB },
    'Bytes of stdout and of stderr, each, of an execution that asks for no number.',
  ),
  max_output_bytes: integer(
    16 * MIB,
    { minimum: 1, maximum: 1024 * MIB },
    'Most bytes of stdout and of stderr, each, that a request may ask for.',
  ),
  observer_dir: {
    kind: 'path',
    default: (surroundings: Surroundings) => join(surroundings.packageRoot, 'build/observer'),
    defaultText: '`build/observer` in the package',
    description: 'Directory of the observer and the program that holds commands for it.',
  },
  observer_ring_bytes: integer(
    8 * MIB,
    { minimum: 4096, maximum: 1024 * MIB },
    'Events that may wait between kernel and observer, in bytes: a power of two.',
  ),
  observer_file_records: integer(
    65_536,
    { minimum: 1, maximum: 16_777_216 },
    'Open files of observed processes whose opens and bytes are counted at the same time.',
  ),
  observer_peer_records: integer(
    16_384,
    { minimum: 1, maximum: 16_777_216 },
    'Other ends of sockets of observed processes whose bytes are counted at the same time.',
  ),
  observer_argv_bytes: integer(
    131_072,
    { minimum: 0, maximum: 131_072 },
    'Most bytes of the arguments of one observed program, in steps of 4096.',
  ),
  boot_timeout_ms: integer(
    60_000,
    { minimum: 1, maximum: ONE_DAY_MS },
    'Time that a guest has to report that it has booted, in milliseconds.',
  ),
  shutdown_grace_ms: integer(
    10_000,
    { minimum: 0, maximum: ONE_DAY_MS },
    'Time that running executions have to end when the server stops, in milliseconds; then they are canceled.',
  ),
  output_max_age_hours: integer(
    0,
    { minimum: 0, maximum: 876_000 },
    'Hours for which the server keeps outputs; then it drops them and keeps the receipt. 0: for ever.',
  ),
  output_max_mb: integer(
    0,
    { minimum: 0, maximum: 1_073_741_824 },
    'Outputs that the server keeps, all together, in MiB; it drops the oldest and keeps their receipts. 0: any number.',
  ),
  secret_names: {
    kind: 'list',
    default: SECRET_NAMES,
    defaultText: '[see below](#secrets)',
    description:
      'Names of variables, flags, headers and fields whose values are secrets: one or more words, `*` stands for the rest of a word.',
  },
  secret_flags: {
    kind: 'list',
    default: SECRET_FLAGS,
    defaultText: '[see below](#secrets)',
    description:
      'Flags whose values are secrets although their names do not say so: `-p`, or `mysql:-p` for one program alone.',
  },
  secret_patterns: {
    kind: 'list',
    default: [],
    defaultText: 'none',
    description:
      'Regular expressions of further secrets; the first group, where there is one, is the secret. Give those with a comma in the file.',
  },
  record_env: {
    kind: 'list',
    default: [],
    defaultText: 'none',
    description:
      'Environment variables whose values go into receipts, where a secret is replaced by its mark; `*` stands for the rest of a name.',
  },
  log_level: choice(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    'info',
    'Least severe messages that are logged.',
  ),
} as const satisfies Record<string, Setting>;

type Settings = typeof SETTINGS;

export type SettingName = keyof Settings;

/** All settings, resolved; deeply frozen. */
export type Configuration = {
  readonly [Name in SettingName as CamelCase<Name>]: ValueOf<Settings[Name]>;
};

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}
