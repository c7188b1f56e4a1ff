/** A JSON document in memory. Objects that come from the strict parser have no prototype. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/**
 * T as anonymous object types. TypeScript gives an interface no index signature, so an interface whose fields are
 * all JSON is not a JsonObject until it has passed through here; no field can be added or lost on the way.
 */
export type AsJson<T> = { [K in keyof T]: AsJson<T[K]> };

export function isJsonObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
