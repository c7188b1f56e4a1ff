import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { REPOSITORY } from '../source-imports.js';

/** Where set-up builds the observer's programs. */
export const BUILT_DIRECTORY = join(REPOSITORY, 'build/observer');
export const HOLD = join(BUILT_DIRECTORY, 'hold');

/** Why the hold program cannot be tested; false when it can. */
export const withoutHold: string | false = existsSync(HOLD) ? false : 'the hold program has not been built';
