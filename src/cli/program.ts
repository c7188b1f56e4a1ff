import { Command, CommanderError, Option } from 'commander';

import { GlasshouseError } from '../base/errors.js';
import { VERSION } from '../base/version.js';
import { flagName } from '../config/setting.js';
import { isSettingName, type SettingName, SETTING_NAMES, SETTINGS } from '../config/settings.js';
import { KEY_ALGORITHMS, type KeyAlgorithm } from '../receipts/spki.js';
import { Console } from './console.js';
import { parseDurationMs } from './duration.js';
import { type Action, type Define, type Flags } from './define.js';
import { EXIT_CODES } from './exit-codes.js';
import { type ObservationRequest, resolveProfile } from './observation-options.js';
import { defineReceiptCommands } from './receipt-commands.js';
import { type Compose } from './services.js';

/** Settings that the commands other than `serve` take as flags. */
const MONITOR_SETTINGS: readonly SettingName[] = [
  'qemu_bin',
  'accelerator',
  'firecracker_bin',
  'jailer_bin',
  'jailer',
];
const COMMON: readonly SettingName[] = ['data_dir', 'image_dir', ...MONITOR_SETTINGS];
const OBSERVER_SETTINGS: readonly SettingName[] = [
  'observer_dir',
  'observer_ring_bytes',
  'observer_file_records',
  'observer_peer_records',
  'observer_argv_bytes',
];
/** What the snapshot for executions with the default limits depends on. */
const WARM_SETTINGS: readonly SettingName[] = [
  'data_dir',
  'image_dir',
  'backend',
  ...MONITOR_SETTINGS,
  'default_memory_mb',
  'default_cpus',
  'default_disk_mb',
];
const RUN_SETTINGS: readonly SettingName[] = [
  ...COMMON,
  'backend',
  'default_memory_mb',
  'default_cpus',
  'default_disk_mb',
  'default_pids',
  ...OBSERVER_SETTINGS,
  'record_env',
];

/** Runs one command line (without the program's name) and resolves to the exit code. Never rejects. */
export async function runCommandLine(args: readonly string[], compose: Compose): Promise<number> {
  const console = new Console();
  const state = { exitCode: 0 };
  try {
    await buildProgram(compose, console, state, args[0]).parseAsync(args, { from: 'user' });
    return state.exitCode;
  } catch (error) {
    return report(console, error);
  }
}

function report(console: Console, error: unknown): number {
  // Commander has already printed what was wrong, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_CODES.usage;
  if (error instanceof GlasshouseError) {
    console.note(`${error.message} [${error.code}]`);
    return error.code === 'configuration_invalid' || error.code === 'invalid_request'
      ? EXIT_CODES.usage
      : EXIT_CODES.failure;
  }
  const defect = error instanceof Error ? (error.stack ?? error.message) : String(error);
  for (const line of defect.split('\n')) console.note(line);
  return EXIT_CODES.failure;
}

/** `named` is the first argument. For `run`, nothing else is defined: a command is waiting for it. */
function buildProgram(
  compose: Compose,
  console: Console,
  state: { exitCode: number },
  named: string | undefined,
): Command {
  const program = new Command('glasshouse')
    .description('Runs code that nobody vouches for and returns a signed receipt of what happened.')
    .version(VERSION)
    .exitOverride()
    .enablePositionalOptions()
    .configureOutput({
      outputError: (text) => {
        for (const line of text
          .replace(/^error: /, '')
          .trimEnd()
          .split('\n'))
          console.note(line);
      },
    })
    .showHelpAfterError('(glasshouse --help says more)');

  const define = (
    parent: Command,
    usage: string,
    settings: readonly SettingName[],
    action: Action,
  ): Command => {
    const command = parent.command(usage).exitOverride();
    for (const name of settings) command.addOption(settingOption(name));
    if (settings.includes('jailer')) command.addOption(new Option('--no-jailer', 'the same as --jailer off'));
    command.addOption(new Option('--config <file>', 'configuration file (JSON)'));
    command.action(async () => {
      const flags = command.opts<Flags>();
      await using services = compose(settingFlags(flags), textOrNull(flags['config']));
      state.exitCode = await action(services, console, flags, command.args);
    });
    return command;
  };

  defineRun(define, program);
  if (named === 'run') return program;
  define(program, 'serve', SETTING_NAMES, async (services) =>
    (await import('./serve.js')).serve(services, console),
  ).description('serve POST /run over HTTP');
  defineVerify(define, program);
  defineReceiptCommands(define, program);
  defineLog(define, program);
  defineRest(define, program);
  return program;
}

function defineRun(define: Define, program: Command): void {
  define(program, 'run', RUN_SETTINGS, async (services, console, flags, args) => {
    const [command, ...rest] = args;
    if (command === undefined) throw usage('run needs a command: glasshouse run -- cmd args...');
    const { run } = await import('./run.js');
    return run(services, console, {
      argv: [command, ...rest],
      backend: services.config.backend === 'auto' ? 'process' : services.config.backend,
      cold: flags['cold'] === true,
      timeoutMs: typeof flags['timeout'] === 'string' ? parseDurationMs(flags['timeout']) : null,
      receiptFile: typeof flags['receipt'] === 'string' ? flags['receipt'] : null,
      files: textList(flags['file']),
      environment: environmentOf(textList(flags['env'])),
      observation: observationOf(flags),
    });
  })
    .description('run a command, here or in a virtual machine, and write its receipt')
    .argument('<command...>', 'the command and its arguments, after --')
    .option('--cold', 'boot a virtual machine for it, even where one could be cloned')
    .option('--timeout <duration>', 'end the command after this long (500ms, 30s, 5m, 1h)')
    .option('--receipt <file>', 'where the receipt goes', 'receipt.json')
    .option('--no-receipt', 'write no receipt file; the store still has it')
    .option('--file <path>', 'file to take into a virtual machine (again for each)', collect)
    .option('--env <name=value>', 'environment variable for the command (again for each)', collect)
    .addOption(
      new Option('--profile <level>', 'observe the command; required: or do not run it').choices([
        'none',
        'host',
        'required',
      ]),
    )
    .option('--follow', 'show on stderr what is observed, as it happens')
    .option('--json', 'with --follow: for programs, one object a line')
    .option('--events <file>', 'write everything that is observed to this file, one object a line')
    .passThroughOptions();
}

function defineVerify(define: Define, program: Command): void {
  define(program, 'verify', ['data_dir'], async (services, console, flags, args) => {
    const [first, ...others] = args;
    if (first === undefined) throw usage('verify needs a file');
    const { verify } = await import('./verify.js');
    const options = {
      files: [first, ...others] as const,
      keyFiles: textList(flags['key']),
      subjects: subjectsOf(flags),
      checkpointFile: textOrNull(flags['checkpoint']),
      receiptId: textOrNull(flags['id']),
      json: flags['json'] === true,
    };
    return verify(console, options, () => services.ownKeys());
  })
    .description('check receipts, offline')
    .argument('<file...>', 'receipt files; - is stdin')
    .option(
      '--key <file>',
      'public keys to trust (again for each file); otherwise those of the data directory',
      collect,
    )
    .option('--stdout <file>', 'hold this file against the stdout that the receipt names')
    .option('--stderr <file>', 'the same for stderr')
    .option('--code <file>', 'the same for the source of the program')
    .option('--file <name=path>', 'the same for an output file of that name (again for each)', collect)
    .option('--id <receipt-id>', 'demand the receipt of this id, not that of another run')
    .option('--checkpoint <file>', 'a checkpoint of the log that you have from elsewhere')
    .option('--json', 'for programs');
}

function defineLog(define: Define, program: Command): void {
  const log = program.command('log').description('the log of all receipts').exitOverride();
  define(log, 'show', ['data_dir'], async (services, console, flags) =>
    (await import('./log.js')).showLog(services, console, flags['json'] === true),
  )
    .description('its name, key, size and head')
    .option('--json', 'for programs');
  define(log, 'checkpoint', ['data_dir'], async (services, console, flags) =>
    (await import('./log.js')).printCheckpoint(services, console, textOrNull(flags['since'])),
  )
    .description('its signed head, to keep or to hand out')
    .option('--since <file>', 'with the proof that it continues this older checkpoint');
  define(log, 'verify', ['data_dir'], async (services, console, flags, [older = '', newer = '']) =>
    (await import('./log.js')).verifyCheckpoints(services, console, {
      files: { older, newer },
      keyFiles: textList(flags['key']),
      json: flags['json'] === true,
    }),
  )
    .description('check that a log continues an older checkpoint, offline')
    .argument('<old>', 'a checkpoint or a receipt file; - is stdin')
    .argument('<new>', 'the same; what "log checkpoint --since OLD" prints')
    .option(
      '--key <file>',
      'public keys to trust (again for each file); otherwise those of the data directory',
      collect,
    )
    .option('--json', 'for programs');
  define(log, 'audit', ['data_dir'], async (services, console, flags) =>
    (await import('./log.js')).auditStoredLog(services, console, flags['json'] === true),
  )
    .description('hold every stored receipt, entry and head of the data directory against each other')
    .option('--json', 'for programs');
}

function defineRest(define: Define, program: Command): void {
  const json = '--json';
  define(program, 'doctor', [...COMMON, ...OBSERVER_SETTINGS], async (services, console, flags) =>
    (await import('./doctor.js')).doctor(services, console, flags['json'] === true),
  )
    .description('try every backend and observation for real and say what to do')
    .option(json, 'for programs');
  const setup = program.command('setup').description('what no distribution packages').exitOverride();
  define(setup, 'firecracker', ['data_dir'], async (services, console, flags) =>
    (await import('./setup-firecracker.js')).setUpFirecracker(services, console, {
      archive: textOrNull(flags['archive']),
      json: flags['json'] === true,
    }),
  )
    .description('bring the release of Firecracker that this version is meant for')
    .option('--archive <file>', 'take it from this file, which you brought, instead of the network')
    .option(json, 'for programs');
  const image = program.command('image').description('the guest image').exitOverride();
  define(image, 'build', ['image_dir', 'debian_mirror'], async (services, console, flags) =>
    (await import('./image.js')).buildGuestImage(services, console, flags['json'] === true),
  )
    .description('build it from the newest Debian packages')
    .option(json, 'for programs');
  define(image, 'show', ['image_dir'], async (services, console, flags) =>
    (await import('./image.js')).showGuestImage(services, console, flags['json'] === true),
  )
    .description('check it and say what it consists of')
    .option(json, 'for programs');
  define(image, 'warm', WARM_SETTINGS, async (services, console, flags) =>
    (await import('./image.js')).warmGuestImage(services, console, flags['json'] === true),
  )
    .description('make the snapshot that virtual machines are cloned from, or check it')
    .option(json, 'for programs');
  const keys = program.command('keys').description('the keys that sign receipts').exitOverride();
  define(keys, 'show', ['data_dir'], async (services, console, flags) =>
    (await import('./keys.js')).showKeys(services, console, {
      pem: flags['pem'] === true,
      json: flags['json'] === true,
    }),
  )
    .description('the public keys of this installation')
    .option('--pem', 'the current public keys of receipts and of the log, to hand out')
    .option(json, 'for programs');
  define(keys, 'rotate', ['data_dir'], async (services, console, flags) =>
    (await import('./keys.js')).rotateKey(services, console, {
      algorithm: textOrNull(flags['algorithm']) as KeyAlgorithm | null,
      json: flags['json'] === true,
    }),
  )
    .description('sign with a new key from now on')
    .addOption(
      new Option('--algorithm <name>', 'kind of the new key; otherwise that of the old one').choices(
        KEY_ALGORITHMS,
      ),
    )
    .option(json, 'for programs');
}

function settingOption(name: SettingName): Option {
  const setting = SETTINGS[name];
  return new Option(`${flagName(name)} <value>`, setting.description);
}

/** Commander's `dataDir` back to the setting's `data_dir`. */
function settingFlags(flags: Flags): Readonly<Record<string, string>> {
  const entries = Object.entries(flags).map(
    ([name, value]) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value] as const,
  );
  const typed = entries.filter(
    (entry): entry is [string, string] => isSettingName(entry[0]) && typeof entry[1] === 'string',
  );
  return Object.fromEntries(flags['jailer'] === false ? [...typed, ['jailer', 'off']] : typed);
}

function collect(value: string, earlier: unknown): string[] {
  return [...textList(earlier), value];
}

function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function observationOf(flags: Flags): ObservationRequest {
  const eventsFile = textOrNull(flags['events']);
  const isFollowed = flags['follow'] === true;
  const profile = resolveProfile(flags['profile'], isFollowed || eventsFile !== null);
  if (flags['json'] === true && !isFollowed) throw usage('--json goes with --follow');
  if (profile === 'none' && (isFollowed || eventsFile !== null))
    throw usage('--profile none observes nothing that --follow or --events could show');
  return { profile, eventsFile, follow: !isFollowed ? null : flags['json'] === true ? 'json' : 'text' };
}

function environmentOf(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name, ...value] = pair.split('=');
      if (name === undefined || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
        throw usage(`--env ${name ?? ''}: that is no name of a variable; write NAME=value`);
      return [name, value.length > 0 ? value.join('=') : (process.env[name] ?? '')];
    }),
  );
}

function subjectsOf(flags: Flags): readonly { readonly name: string; readonly file: string }[] {
  const streams = ['stdout', 'stderr', 'code'].flatMap((name) => {
    const file = flags[name];
    return typeof file === 'string' ? [{ name, file }] : [];
  });
  const files = textList(flags['file']).map((pair) => {
    const [name, ...file] = pair.split('=');
    if (name === undefined || file.length === 0) throw usage(`--file ${pair} is not name=path`);
    return { name: `workspace/${name}`, file: file.join('=') };
  });
  return [...streams, ...files];
}

function usage(message: string): GlasshouseError {
  return new GlasshouseError('configuration_invalid', message);
}
