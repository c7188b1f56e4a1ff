import { SECRET_FLAGS, SECRET_NAMES } from '../../src/config/secret-defaults.js';
import { RedactionRules, type RedactionSettings } from '../../src/redaction/redaction-rules.js';
import { Redactor } from '../../src/redaction/redactor.js';

/** The rules of a fresh installation, with changes. */
export function sampleRules(changes: Partial<RedactionSettings> = {}): RedactionRules {
  return new RedactionRules({
    secretNames: SECRET_NAMES,
    secretFlags: SECRET_FLAGS,
    secretPatterns: [],
    recordEnv: [],
    ...changes,
  });
}

/** A redactor with a key that tests know. */
export function sampleRedactor(changes: Partial<RedactionSettings> = {}, keyByte = 7): Redactor {
  return new Redactor(Buffer.alloc(32, keyByte), sampleRules(changes));
}
