import { type TestEvent } from 'node:test/reporters';

/** Of tests that run in the lab alone, as compiled. */
const LAB_ONLY = '.lab.test.js';

/**
 * A reporter beside the one that people read. A test of the lab alone has all that it needs there: when it is skipped,
 * something is broken, and the run fails. For files that run one after the other.
 */
export default async function* noSkips(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let testFile = '';
  for await (const event of events) {
    // The run of a whole file is named by its path; tests below it have the file in which they are written.
    if (event.type === 'test:dequeue' && event.data.name === event.data.file) testFile = event.data.name;
    if (event.type !== 'test:pass' || !isSkipped(event.data.skip) || !testFile.endsWith(LAB_ONLY)) continue;
    process.exitCode = 1;
    yield `glasshouse lab: skipped, which counts as failed here: ${event.data.name}\n`;
  }
}

function isSkipped(skip: string | boolean | undefined): boolean {
  return skip !== undefined && skip !== false;
}
