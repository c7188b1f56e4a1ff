import { type Predicate } from '../receipts/receipt.js';
import { type Console } from './console.js';
import { type Fact, factsOf, type FactValue, type Section, SECTIONS } from './receipt-facts.js';
import { type Services } from './services.js';
import { findReceipt, statementOf } from './stored-receipt.js';

export interface Difference {
  readonly section: Section;
  readonly name: string;
  /** Null in the one that does not say it, or says null. */
  readonly a: FactValue;
  readonly b: FactValue;
  readonly only: 'a' | 'b' | null;
}

/** `glasshouse receipts diff A B`: what one run did that the other did not. */
export async function diffReceipts(
  services: Services,
  console: Console,
  options: { readonly a: string; readonly b: string; readonly json: boolean },
): Promise<number> {
  const store = await services.store();
  const [a, b] = [findReceipt(store, options.a), findReceipt(store, options.b)];
  const differences = differencesOf(statementOf(a).predicate, statementOf(b).predicate);
  if (options.json) console.json({ a: a.receiptId, b: b.receiptId, differences });
  else {
    console.line(console.style('bad', `- ${a.receiptId}  ${a.timestamp}`));
    console.line(console.style('good', `+ ${b.receiptId}  ${b.timestamp}`));
    print(console, differences);
  }
  return 0;
}

/** In the order of SECTIONS; inside a section in the order of the first receipt, then of the second. */
export function differencesOf(a: Predicate, b: Predicate): Difference[] {
  const [factsA, factsB] = [byName(factsOf(a)), byName(factsOf(b))];
  const changed = [...factsA].flatMap(([key, { section, name, value }]): Difference[] => {
    const other = factsB.get(key);
    if (other === undefined) return [{ section, name, a: value, b: null, only: 'a' }];
    if (JSON.stringify(other.value) === JSON.stringify(value)) return [];
    return [{ section, name, a: value, b: other.value, only: null }];
  });
  const added = [...factsB].flatMap(([key, { section, name, value }]): Difference[] =>
    factsA.has(key) ? [] : [{ section, name, a: null, b: value, only: 'b' }],
  );
  const all = [...changed, ...added];
  return SECTIONS.flatMap((section) => all.filter((difference) => difference.section === section));
}

function byName(facts: readonly Fact[]): Map<string, Fact> {
  return new Map(facts.map((fact) => [`${fact.section} ${fact.name}`, fact]));
}

function print(console: Console, differences: readonly Difference[]): void {
  if (differences.length === 0) console.line('no differences');
  let section: Section | null = null;
  for (const difference of differences) {
    if (difference.section !== section) console.line(console.style('bold', difference.section));
    section = difference.section;
    const { only, a, b } = difference;
    if (only !== 'b') console.line(console.style('bad', lineOf(console, '-', difference.name, a)));
    if (only !== 'a') console.line(console.style('good', lineOf(console, '+', difference.name, b)));
  }
}

function lineOf(console: Console, sign: string, name: string, value: FactValue): string {
  const shown = value === 'done' || value === 'set' ? '' : ` ${shownValue(value)}`;
  return console.printable(`  ${sign} ${name}${shown}`);
}

function shownValue(value: FactValue): string {
  if (value === null) return 'none';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
