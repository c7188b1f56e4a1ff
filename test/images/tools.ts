import { runToCompletion } from '../../src/base/child-process.js';
import { asGlasshouseError } from '../../src/base/errors.js';

/** True when the program is on the PATH. */
export async function isInstalled(tool: string): Promise<boolean> {
  try {
    await runToCompletion(tool, ['--version']);
    return true;
  } catch (error) {
    if (asGlasshouseError(error).code === 'tool_missing') return false;
    throw error;
  }
}
