/**
 * Makes hostile text safe for logs and terminals: control, format and unassigned characters become `\u{..}`,
 * lines are joined by ` | `, and only the last `maxLength` characters stay.
 */
export function printableTail(text: string, maxLength: number): string {
  const joined = text
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' | ');
  return escapeUnprintable(joined.slice(-maxLength));
}

/** Replaces everything that is not a visible character or a plain space by an escape. */
export function escapeUnprintable(text: string): string {
  return text.replaceAll(
    /[^\P{C}]|[\u2028\u2029]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** The same JSON, in which nothing stands that a terminal could take for more than text. */
export function escapeUnprintableJson(json: string): string {
  return json.replaceAll(/[^\P{C}\n]|[\u2028\u2029]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      const unit = character.charCodeAt(index);
      return `\\u${unit.toString(16).padStart(4, '0')}`;
    }).join(''),
  );
}
