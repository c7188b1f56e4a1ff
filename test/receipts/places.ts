/** Ways to change one place of a JSON document, for tests of what must be refused. */
import { type JsonObject, type JsonValue } from '../../src/receipts/json-value.js';

/** Every place in a document, as the keys that lead there. */
export function* placesIn(value: JsonValue, path: readonly string[] = []): Generator<readonly string[]> {
  if (path.length > 0) yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) yield* placesIn(member, [...path, key]);
}

/** A copy in which the value at a place was replaced, or removed when the change gives undefined. */
export function changed(
  value: JsonValue,
  path: readonly string[],
  change: (old: JsonValue) => JsonValue | undefined,
): JsonValue {
  const [key, ...rest] = path;
  const copy = structuredClone(value) as Record<string, JsonValue>;
  if (key === undefined) throw new Error('no place given');
  const old = copy[key] as JsonValue;
  const replacement = rest.length > 0 ? changed(old, rest, change) : change(old);
  // Array elements stay where they are: JSON.stringify of the copy would write a removed one as null anyway.
  if (replacement === undefined) Reflect.deleteProperty(copy, key);
  else copy[key] = replacement;
  return copy;
}

export function at(value: JsonValue, path: readonly string[]): JsonValue {
  return path.reduce<JsonValue>((inner, key) => (inner as JsonObject)[key] as JsonValue, value);
}
