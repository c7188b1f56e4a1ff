// @ts-check

/** A step that cannot be done: says what, why, and what to type. */
export class SetupError extends Error {
  /**
   * @param {string} message what could not be done, and why
   * @param {string | null} remedy what to do about it
   * @param {unknown} [cause]
   */
  constructor(message, remedy = null, cause = undefined) {
    super(message, { cause });
    this.name = 'SetupError';
    this.remedy = remedy;
  }
}
