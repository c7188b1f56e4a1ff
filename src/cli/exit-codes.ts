/** What `glasshouse` exits with, apart from the exit code of a command that ran; docs/cli.md is held against it. */
export const EXIT_CODES = {
  /** Verification failed: the receipt, or a file it was held against, is not what it should be. */
  verificationFailed: 1,
  /** The command line or the configuration is wrong; nothing was done. */
  usage: 2,
  /** The deadline of `--timeout` passed, as timeout(1) says it. */
  timeout: 124,
  /** Glasshouse itself failed. */
  failure: 125,
  /** The command exists but cannot be executed. */
  notExecutable: 126,
  /** The command does not exist. */
  notFound: 127,
} as const;

/** A command that a signal ended exits with this plus the signal's number, as shells do. */
export const SIGNAL_BASE = 128;
