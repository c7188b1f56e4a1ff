import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { Ajv, type ValidateFunction } from 'ajv';
import { parse } from 'yaml';

import {
  type Action,
  changeState,
  createSnapshot,
  flushMetrics,
  loadSnapshot,
} from '../../../src/backends/firecracker/api-actions.js';
import {
  bootActions,
  cloneAction,
  FILES,
  reportActions,
} from '../../../src/backends/firecracker/machine-setup.js';
import {
  overridesVsock,
  parseVersion,
  type ProgramVersion,
} from '../../../src/backends/firecracker/versions.js';

/** Where Firecracker's own description of its API is: `firecracker.yaml` of a release; nothing here brings it. */
const FILE = process.env['GLASSHOUSE_FIRECRACKER_API'] ?? '';
const skip = FILE === '' ? 'GLASSHOUSE_FIRECRACKER_API names no firecracker.yaml of a release' : false;

/** What is used here of Swagger 2.0 (https://swagger.io/specification/v2/). */
interface Description {
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly definitions: Readonly<Record<string, { readonly properties?: object }>>;
}

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly schema?: { readonly $ref: string } }[];
}

class PublishedApi {
  readonly #description: Description;
  readonly #ajv = new Ajv({ strict: false, logger: false, allErrors: true });

  constructor(file: string) {
    this.#description = parse(readFileSync(file, 'utf8')) as Description;
  }

  get version(): ProgramVersion {
    const version = parseVersion('Firecracker', `Firecracker v${this.#description.info.version}`);
    assert.ok(version !== null, 'the description names its version');
    return version;
  }

  /** What is wrong with a request; null: nothing. */
  problemWith({ method, path, body }: Action): string | null {
    const validate = this.#bodyOf(method, path);
    if (validate === null) return `${method} ${path} takes no body, or does not exist`;
    return validate(body) ? null : this.#ajv.errorsText(validate.errors);
  }

  #bodyOf(method: string, path: string): ValidateFunction | null {
    const known = Object.keys(this.#description.paths).find((template) =>
      new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    );
    const operation = this.#description.paths[known ?? '']?.[method.toLowerCase()];
    const body = operation?.parameters?.find((parameter) => parameter.in === 'body');
    if (body?.schema === undefined) return null;
    return this.#ajv.compile({ ...body.schema, definitions: this.#closedDefinitions() });
  }

  /** Firecracker refuses fields that it does not know; that is not written in its description. */
  #closedDefinitions(): object {
    const close = ([name, definition]: [string, { readonly properties?: object }]): [string, object] => [
      name,
      definition.properties === undefined ? definition : { ...definition, additionalProperties: false },
    ];
    return Object.fromEntries(Object.entries(this.#description.definitions).map(close));
  }
}

const published = skip === false ? new PublishedApi(FILE) : null;

const ALL_ACTIONS: readonly Action[] = [
  ...reportActions(),
  ...bootActions({ accelerator: 'kvm', memoryMb: 224, cpus: 1, diskMb: 64 }),
  changeState('Paused'),
  changeState('Resumed'),
  createSnapshot({ snapshot_path: FILES.state, mem_file_path: FILES.memory }),
  flushMetrics(),
  ...(published === null ? [] : [cloneAction(published.version)]),
];
/** What may be left out of a request to these is all that there is in it; we do not. */
const NOTHING_REQUIRED = ['/entropy', '/logger'];

describe('every action, beside the published description of the API', { skip }, () => {
  for (const action of ALL_ACTIONS)
    it(`is in it: ${action.method} ${action.path} ${JSON.stringify(action.body).slice(0, 60)}`, () => {
      assert.equal(published?.problemWith(action), null);
    });

  it('would not be with a field too many, without its fields, or under another path: this judge sees', () => {
    assert.ok(published !== null);
    for (const action of ALL_ACTIONS) {
      const problems = [
        published.problemWith({ ...action, body: { ...action.body, glasshouse: 1 } }),
        published.problemWith({ ...action, path: `${action.path}-` }),
        published.problemWith({ ...action, body: {} }),
      ];
      assert.match(problems[0] ?? 'none', /must NOT have additional properties/, action.path);
      // Whatever stands at the end of the name of a drive is one more name.
      if (!action.path.startsWith('/drives/')) assert.match(problems[1] ?? 'none', /does not exist/);
      if (!NOTHING_REQUIRED.includes(action.path))
        assert.match(problems[2] ?? 'none', /required property/, action.path);
    }
    const state = { ...changeState('Paused'), body: { state: 'Asleep' } };
    assert.match(published.problemWith(state) ?? 'none', /allowed values/);
  });

  it('has a place for the vsock of a clone exactly where its version is said to have one', () => {
    const clone = loadSnapshot({ snapshot_path: 's', mem_file_path: 'm', resume_vm: true, vsock_path: 'v' });
    assert.ok(published !== null);
    assert.equal(published.problemWith(clone) === null, overridesVsock(published.version));
  });
});
