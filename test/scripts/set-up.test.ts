import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';

const repository = new URL('../../../', import.meta.url);

interface TestFiles {
  readonly unit: readonly string[];
  readonly vm: readonly string[];
}

// The scripts run before anything is compiled, so that they are not part of the compilation.
const { selectTestFiles, findTestFiles, findLabTestFiles, withOneOf } = (await import(
  new URL('scripts/lib/test-files.mjs', repository).href
)) as {
  selectTestFiles: (files: readonly string[], args: readonly string[]) => TestFiles;
  findTestFiles: () => readonly string[];
  findLabTestFiles: () => readonly string[];
  withOneOf: (files: readonly string[], parts: readonly string[]) => readonly string[];
};
const { withoutSettings } = (await import(new URL('scripts/lib/bundle.mjs', repository).href)) as {
  withoutSettings: (environment: NodeJS.ProcessEnv) => NodeJS.ProcessEnv;
};
const { installedPackages } = (await import(new URL('scripts/lib/debian-packages.mjs', repository).href)) as {
  installedPackages: (listing: string) => ReadonlySet<string>;
};
const { assertNodeVersion } = (await import(new URL('scripts/lib/node-runtime.mjs', repository).href)) as {
  assertNodeVersion: (version: string) => void;
};

describe('selectTestFiles', () => {
  const files = ['backends/qemu/a.test.ts', 'backends/b.test.ts', 'contract/c.test.ts', 'receipts/d.test.ts'];

  it('keeps tests that start virtual machines apart', () => {
    assert.deepEqual(selectTestFiles(files, []), {
      unit: ['backends/b.test.ts', 'receipts/d.test.ts'],
      vm: ['backends/qemu/a.test.ts', 'contract/c.test.ts'],
    });
  });

  it('leaves them out with --unit', () => {
    assert.deepEqual(selectTestFiles(files, ['--unit']).vm, []);
  });

  it('takes the files of which the path contains one of the words', () => {
    assert.deepEqual(selectTestFiles(files, ['receipts', 'contract']), {
      unit: ['receipts/d.test.ts'],
      vm: ['contract/c.test.ts'],
    });
  });

  it('refuses an unknown option', () => {
    assert.throws(() => selectTestFiles(files, ['--units']), /unknown option --units/);
  });

  it('finds this very file', () => {
    assert.ok(findTestFiles().includes('scripts/set-up.test.ts'));
  });
});

describe('the tests of the lab', () => {
  it('are those that only it can run, and all of Firecracker', () => {
    const elsewhere = findTestFiles();
    for (const file of findLabTestFiles()) {
      assert.match(file, /\.lab\.test\.ts$|firecracker/);
      assert.equal(elsewhere.includes(file), !file.endsWith('.lab.test.ts'), file);
    }
  });

  it('can be chosen by a part of their path', () => {
    const files = ['a/b.lab.test.ts', 'contract/firecracker.test.ts'];
    assert.deepEqual(withOneOf(files, []), files);
    assert.deepEqual(withOneOf(files, ['firecracker', 'c']), ['contract/firecracker.test.ts']);
  });
});

describe('the run whose compiled code is kept', () => {
  it('has no settings of whoever sets up: the program may not know them', () => {
    const environment = { PATH: '/bin', GLASSHOUSE_DEBIAN_MIRROR: 'http://mirror', GLASSHOUSE_PORT: 'x' };
    assert.deepEqual(withoutSettings(environment), { PATH: '/bin' });
  });
});

describe('installedPackages', () => {
  it('counts what is installed, of whatever architecture, and not what was removed', () => {
    const listing =
      'gcc installed\nlibc6-dev:amd64 installed\nmake config-files\nqemu-system-x86 not-installed\n';
    assert.deepEqual([...installedPackages(listing)], ['gcc', 'libc6-dev']);
  });
});

describe('assertNodeVersion', () => {
  it('takes Node.js 20.12 and later', () => {
    for (const version of ['20.12.0', '20.19.2', '22.0.0', '24.21.0']) assertNodeVersion(version);
  });

  it('refuses an older one', () => {
    for (const version of ['18.20.4', '20.10.0']) {
      assert.throws(() => {
        assertNodeVersion(version);
      }, /needs Node.js 20.12/);
    }
  });
});

describe('the repository', () => {
  it('locks every npm package without saying where from', async () => {
    for (const file of ['package-lock.json', 'test/node24/package-lock.json']) {
      const text = await readFile(new URL(file, repository), 'utf8');
      assert.ok(!text.includes('"resolved"'), file);
    }
  });

  it('has only scripts that say of themselves that types are checked', async () => {
    const names = await readdir(new URL('scripts/', repository), { recursive: true });
    for (const name of names.filter((each) => each.endsWith('.mjs'))) {
      const text = await readFile(new URL(`scripts/${name}`, repository), 'utf8');
      assert.ok(text.startsWith('// @ts-check\n'), name);
    }
  });
});
