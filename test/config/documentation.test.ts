import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentationRows } from '../documentation-rows.js';
import { type Setting, environmentName, flagName } from '../../src/config/setting.js';
import { SETTINGS, SETTING_NAMES } from '../../src/config/settings.js';

describe('docs/configuration.md', () => {
  it('has exactly one row for each setting, saying what the table says', () => {
    const rows = documentationRows('docs/configuration.md');
    const expected = SETTING_NAMES.map((name) => expectedRow(name, SETTINGS[name]));
    assert.deepEqual(rows, expected);
  });
});

function expectedRow(name: string, setting: Setting): readonly string[] {
  return [
    `\`${name}\``,
    `\`${flagName(name)}\``,
    `\`${environmentName(name)}\``,
    values(setting),
    defaultOf(setting),
    setting.description,
  ];
}

function values(setting: Setting): string {
  switch (setting.kind) {
    case 'integer':
      return `${setting.minimum} to ${setting.maximum}`;
    case 'choice':
      return setting.choices.map((choice) => `\`${choice}\``).join(', ');
    case 'list':
      return 'words';
    case 'path':
      return 'path';
    case 'text':
      return 'text';
  }
}

function defaultOf(setting: Setting): string {
  if (setting.defaultText !== undefined) return setting.defaultText;
  assert.notEqual(typeof setting.default, 'function', 'a computed default needs a defaultText');
  return `\`${String(setting.default)}\``;
}
