import { type Command } from 'commander';

import { type SettingName } from '../config/settings.js';
import { type Console } from './console.js';
import { type Services } from './services.js';

/** Options as Commander has parsed them, by their camel-case names. */
export type Flags = Readonly<Record<string, unknown>>;
/** Runs one command; resolves to the exit code. */
export type Action = (
  services: Services,
  console: Console,
  flags: Flags,
  args: readonly string[],
) => Promise<number>;

/** Adds a command that takes these settings as flags. */
export type Define = (
  parent: Command,
  usage: string,
  settings: readonly SettingName[],
  action: Action,
) => Command;
