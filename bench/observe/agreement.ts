import { CORPUS } from '../../test/observe/corpus.js';
import { Arena, cannotCompare, cannotRun } from '../../test/observe/run-workload.js';

/** Facts that are named where the two do not agree. */
const SHOWN = 5;

/** Recall: what strace saw and the receipt has. Precision: what the receipt has and strace saw. */
export function printAgreement(): void {
  const reason = cannotCompare();
  if (reason !== false) {
    console.log(`recall and precision: ${reason}\n`);
    return;
  }
  using arena = new Arena();
  const sums = { strace: 0, receipt: 0, common: 0 };
  for (const workload of CORPUS) {
    const cannot = cannotRun(workload);
    if (cannot !== false) {
      console.log(`${workload.name}: ${cannot}`);
      continue;
    }
    const { comparison, straceFacts, receiptFacts } = arena.see(workload);
    const { common, missing, invented } = comparison;
    sums.strace += straceFacts;
    sums.receipt += receiptFacts;
    sums.common += common;
    console.log(
      `${workload.name.padEnd(46)} recall ${percent(common, straceFacts)}  precision ${percent(common, receiptFacts)}`,
    );
    for (const fact of missing.slice(0, SHOWN)) console.log(`  not in the receipt: ${JSON.stringify(fact)}`);
    for (const fact of invented.slice(0, SHOWN)) console.log(`  not seen by strace: ${JSON.stringify(fact)}`);
  }
  console.log(
    `all: ${sums.strace} facts, recall ${percent(sums.common, sums.strace)}, precision ${percent(sums.common, sums.receipt)}\n`,
  );
  if (sums.common < Math.max(sums.strace, sums.receipt)) process.exitCode = 1;
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(2)} %`;
}
