/** Random damage to a file, the same for the same seed: shared by the tests and `npm run bench -- mutations`. */

/** A small generator of 32-bit numbers (xorshift), so that a failure can be repeated from its seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** 0 to `sides` - 1. */
  roll(sides: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state % sides;
  }
}

const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\\',
  'null',
  '1e999',
  '-0',
  '"log":',
  '\u0000',
  '\ud800',
  'AAAA',
  '=',
];

/** One to three changes that do not leave the bytes as they were. */
export function mutate(original: Uint8Array, dice: Dice): Uint8Array {
  for (;;) {
    let bytes = original;
    for (let left = 1 + dice.roll(3); left > 0; left -= 1) bytes = change(bytes, dice);
    if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(original)) return bytes;
  }
}

function change(bytes: Uint8Array, dice: Dice): Uint8Array {
  const at = dice.roll(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + dice.roll(40));
  const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (dice.roll(7)) {
    case 0: {
      const flipped = Uint8Array.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << dice.roll(8));
      return flipped;
    }
    case 1:
      return Buffer.concat([
        before,
        Buffer.of(dice.roll(256)),
        bytes.subarray(Math.min(bytes.length, at + 1)),
      ]);
    case 2:
      return Buffer.concat([before, after]);
    case 3:
      return Buffer.concat([before, piece, piece, after]);
    case 4: {
      const place = dice.roll(after.length + 1);
      return Buffer.concat([before, after.subarray(0, place), piece, after.subarray(place)]);
    }
    case 5:
      return Buffer.concat([before, Buffer.from(TOKENS[dice.roll(TOKENS.length)] ?? ''), bytes.subarray(at)]);
    default:
      return before;
  }
}
