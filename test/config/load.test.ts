import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { GlasshouseError } from '../../src/base/errors.js';
import { type ConfigurationSources, loadConfiguration, readSurroundings } from '../../src/config/load.js';
import { type Configuration } from '../../src/config/settings.js';
import { surroundings } from './surroundings.js';

const directory = mkdtempSync(join(tmpdir(), 'glasshouse-config-'));
after(() => {
  rmSync(directory, { recursive: true });
});

interface Given {
  readonly flags?: ConfigurationSources['flags'];
  readonly environment?: Record<string, string>;
  readonly configFile?: string;
}

/** Loads with the test's own data directory, so that no file of this machine is read. */
function load({ flags = {}, environment = {}, configFile }: Given = {}): Configuration {
  return loadConfiguration({
    flags: { data_dir: directory, ...flags },
    configFile: configFile ?? null,
    surroundings: surroundings({ environment }),
  });
}

function file(name: string, content: unknown): string {
  const path = join(directory, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function refused(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GlasshouseError);
    assert.equal(error.code, 'configuration_invalid');
    assert.match(error.message, pattern);
    return true;
  };
}

describe('defaults', () => {
  it('fit the machine', () => {
    const configuration = load();
    assert.equal(configuration.host, '127.0.0.1');
    assert.equal(configuration.port, 8080);
    assert.equal(configuration.maxConcurrent, 4);
    assert.equal(configuration.imageDir, '/opt/glasshouse/build/image');
    assert.deepEqual(configuration.allowedHosts, []);
  });

  it('keep data where the user may write', () => {
    const dataDir = (changes: Parameters<typeof surroundings>[0]): string =>
      loadConfiguration({ flags: {}, configFile: null, surroundings: surroundings(changes) }).dataDir;
    assert.equal(dataDir({}), '/home/ada/.local/share/glasshouse');
    assert.equal(dataDir({ environment: { XDG_DATA_HOME: '/data' } }), '/data/glasshouse');
    assert.equal(
      dataDir({ environment: { XDG_DATA_HOME: 'relative' } }),
      '/home/ada/.local/share/glasshouse',
    );
  });

  it('find the package that this code is part of', () => {
    assert.equal(readSurroundings().packageRoot.replace(/\/$/u, ''), process.cwd());
  });
});

describe('sources', () => {
  it('win in the order flag, environment variable, file, default', () => {
    const configFile = file('order.json', { port: 1, max_pids: 101, max_cpus: 11 });
    const environment = { GLASSHOUSE_PORT: '2', GLASSHOUSE_MAX_PIDS: '102' };
    const configuration = load({ configFile, environment, flags: { port: '3' } });
    assert.equal(configuration.port, 3);
    assert.equal(configuration.maxPids, 102);
    assert.equal(configuration.maxCpus, 11);
    assert.equal(configuration.maxDiskMb, 1024);
  });

  it('include the file that GLASSHOUSE_CONFIG names, unless --config names another', () => {
    const one = file('one.json', { port: 1001 });
    const two = file('two.json', { port: 1002 });
    assert.equal(load({ environment: { GLASSHOUSE_CONFIG: one } }).port, 1001);
    assert.equal(load({ environment: { GLASSHOUSE_CONFIG: one }, configFile: two }).port, 1002);
  });

  it('include config.json in the data directory', () => {
    const path = file('config.json', { log_level: 'debug' });
    try {
      assert.equal(load().logLevel, 'debug');
    } finally {
      rmSync(path);
    }
  });

  it('resolve relative paths from where they were written', () => {
    const configFile = file('paths.json', { image_dir: 'image' });
    assert.equal(load({ configFile }).imageDir, join(directory, 'image'));
    assert.equal(load({ flags: { image_dir: 'image' } }).imageDir, '/work/image');
  });

  it('give lists as words or as arrays', () => {
    const environment = { GLASSHOUSE_ALLOWED_HOSTS: 'a.example, b.example' };
    assert.deepEqual(load({ environment }).allowedHosts, ['a.example', 'b.example']);
    const configFile = file('list.json', { allowed_hosts: ['c.example'] });
    assert.deepEqual(load({ configFile }).allowedHosts, ['c.example']);
  });
});

describe('the result', () => {
  it('is deeply frozen', () => {
    const configuration = load({ environment: { GLASSHOUSE_ALLOWED_HOSTS: 'a.example' } });
    assert.ok(Object.isFrozen(configuration));
    assert.ok(Object.isFrozen(configuration.allowedHosts));
  });
});

describe('refused', () => {
  it('is an unknown environment variable, with the nearest known one', () => {
    assert.throws(
      () => load({ environment: { GLASSHOUSE_PROT: '1' } }),
      refused(/GLASSHOUSE_PROT.*Did you mean GLASSHOUSE_PORT\?/u),
    );
    assert.throws(() => load({ environment: { GLASSHOUSE_port: '1' } }), refused(/GLASSHOUSE_port/u));
  });

  it('is an unknown key of the file, with the nearest known one', () => {
    const configFile = file('unknown.json', { max_memory: 1 });
    assert.throws(() => load({ configFile }), refused(/"max_memory".*Did you mean max_memory_mb\?/u));
  });

  it('is a key that is part of every object', () => {
    const configFile = file('proto.json', '{"__proto__": 1}');
    assert.throws(() => load({ configFile }), refused(/__proto__/u));
  });

  it('is a data directory in the file that was found through it', () => {
    const path = file('config.json', { data_dir: '/elsewhere' });
    try {
      assert.throws(() => load(), refused(/data_dir cannot be set in a file/u));
    } finally {
      rmSync(path);
    }
  });

  for (const [what, text, pattern] of [
    ['text for a number', 'many', /--port: "many" is not a whole number/u],
    ['a fraction', '1.5', /is not a whole number/u],
    ['hexadecimal', '0x10', /is not a whole number/u],
    ['an empty text', '', /is not a whole number/u],
    ['a number that is too large', '65536', /from 0 to 65535/u],
    ['a number that is too small', '-1', /from 0 to 65535/u],
  ] as const) {
    it(`is ${what}`, () => {
      assert.throws(() => load({ flags: { port: text } }), refused(pattern));
    });
  }

  it('is a choice that does not exist, naming those that do', () => {
    assert.throws(
      () => load({ environment: { GLASSHOUSE_BACKEND: 'docker' } }),
      refused(/GLASSHOUSE_BACKEND: "docker" is not known: give one of auto, firecracker, qemu, process/u),
    );
  });

  it('is a wrong type in the file', () => {
    for (const [key, value] of Object.entries({ port: '80', host: 1, allowed_hosts: 'a', backend: null })) {
      const configFile = file('type.json', { [key]: value });
      assert.throws(() => load({ configFile }), refused(new RegExp(`type.json: ${key}: `, 'u')));
    }
  });

  it('is a file that is missing, not JSON, or not an object', () => {
    assert.throws(() => load({ configFile: join(directory, 'none.json') }), refused(/cannot be read/u));
    assert.throws(() => load({ configFile: file('bad.json', '{') }), refused(/is not JSON/u));
    assert.throws(() => load({ configFile: file('array.json', []) }), refused(/one JSON object/u));
  });

  it('is a default above its maximum', () => {
    assert.throws(
      () => load({ flags: { max_memory_mb: '64' } }),
      refused(/default_memory_mb \(128\) is above max_memory_mb \(64\)/u),
    );
  });

  it('is a control character, and it is not echoed raw', () => {
    assert.throws(
      () => load({ flags: { log_level: '\u001b[2J' } }),
      (error: unknown) => refused(/is not known/u)(error) && !String(error).includes('\u001b'),
    );
  });
});
