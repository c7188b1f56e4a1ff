/** Numbers of one thing measured several times, in milliseconds unless the name says otherwise. */
export interface Sample {
  readonly name: string;
  readonly values: readonly number[];
}

export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * fraction) - 1));
  return sorted[index] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Milliseconds that `action` takes. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const begunAt = performance.now();
  await action();
  return performance.now() - begunAt;
}

/** Prints samples with their ratio to the median of `reference`. */
export function printSamples(
  heading: string,
  samples: readonly Sample[],
  reference: Sample,
  unit = 'ms',
): void {
  const base = median(reference.values);
  const rows = samples.map(({ name, values }) => [
    name,
    median(values).toFixed(1),
    quantile(values, 0.95).toFixed(1),
    quantile(values, 0.99).toFixed(1),
    Math.max(...values).toFixed(1),
    `${(median(values) / base).toFixed(2)}x`,
  ]);
  const header = [
    heading,
    `p50 ${unit}`,
    `p95 ${unit}`,
    `p99 ${unit}`,
    `max ${unit}`,
    `to ${reference.name}`,
  ];
  const widths = header.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of [header, ...rows]) {
    console.log(
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    );
  }
  console.log('');
}

/** One line of a goal: what was asked for and what was reached. */
export function printGoal(goal: string, reached: number, limit: number, unit: string): void {
  const verdict = reached <= limit ? 'reached' : 'NOT reached';
  const shown = (value: number): string => (value < 1 ? value.toPrecision(2) : value.toFixed(1));
  console.log(`goal: ${goal}: ${shown(reached)} ${unit} (at most ${shown(limit)} ${unit}) - ${verdict}`);
}
