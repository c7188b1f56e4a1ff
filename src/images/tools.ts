import { type RunOptions } from '../base/child-process.js';

/** What every tool of an image build gets: where to work, when to stop, and a fixed idea of the time. */
export interface BuildContext {
  /** Directory for everything temporary; removed at the end of the build, also of a failed one. */
  readonly workDirectory: string;
  readonly signal: AbortSignal;
  /** Seconds since 1970: the newest time that appears in the image. */
  readonly epochSeconds: number;
}

/** Options for running a tool of the build. Debian keeps some of them where only root's PATH looks. */
export function toolOptions(context: BuildContext): RunOptions {
  const { PATH: searchPath = '' } = process.env;
  return {
    signal: context.signal,
    env: {
      ...process.env,
      PATH: `${searchPath}:/usr/local/sbin:/usr/sbin:/sbin`,
      LC_ALL: 'C',
      SOURCE_DATE_EPOCH: String(context.epochSeconds),
      E2FSPROGS_FAKE_TIME: String(context.epochSeconds),
    },
  };
}

/** True when this process may give files away, which the root file system needs. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}
