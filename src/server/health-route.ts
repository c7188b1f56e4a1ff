import Type, { type Static } from 'typebox';
import { type BackendDescription } from '../backends/backend.js';
import { type App } from './app.js';
import { type ServerDependencies } from './dependencies.js';
import { type ServerState } from './server-state.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

const Health = Type.Object(
  {
    status: Type.Enum(['ok', 'unavailable', 'stopping']),
    detail: Type.Union([Type.String(), Type.Null()], { description: 'Why it is not ok.' }),
    version: Type.String(),
    backend: Type.Union([
      Type.Object(
        {
          name: Type.String(),
          isolation: Type.Enum(['none', 'vm-kvm', 'vm-tcg']),
          vmm_version: NullableText,
          image: Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()], {
            description: 'sha256 of each part of the guest image.',
          }),
          snapshot: Type.Union(
            [
              Type.Object({ sha256: Type.String(), created: Type.String() }, { additionalProperties: false }),
              Type.Null(),
            ],
            { description: 'What programs with the default limits are cloned from; null: machines boot.' },
          ),
          notes: Type.Array(Type.String()),
        },
        { additionalProperties: false },
      ),
      Type.Null(),
    ]),
    uptime_s: Type.Integer({ minimum: 0 }),
    in_flight: Type.Integer({ minimum: 0, description: 'Runs that a client waits for.' }),
  },
  { additionalProperties: false, title: 'Health' },
);
type Health = Static<typeof Health>;

/** GET /health: 200 unless a run would probably not be started, then 503. */
export function addHealthRoute(app: App, dependencies: ServerDependencies, state: ServerState): void {
  const startedAt = performance.now();
  const schema = {
    operationId: 'getHealth',
    summary: 'Whether programs can be run, and where they would be',
    response: { 200: Health, 503: Health },
  };
  app.get('/health', { schema }, async (_request, reply) => {
    const backend = dependencies.backendStatus();
    const status = state.closing ? 'stopping' : backend.ready ? 'ok' : 'unavailable';
    return reply.code(status === 'ok' ? 200 : 503).send({
      status,
      detail: backend.detail,
      version: dependencies.version,
      backend: backend.description === null ? null : backendAnswer(backend.description),
      uptime_s: Math.floor((performance.now() - startedAt) / 1000),
      in_flight: state.running.count,
    });
  });
}

function backendAnswer(description: BackendDescription): NonNullable<Health['backend']> {
  return {
    name: description.name,
    isolation: description.isolation,
    vmm_version: description.vmmVersion,
    image: description.imageDigests === null ? null : { ...description.imageDigests },
    snapshot:
      description.snapshot === null
        ? null
        : {
            sha256: description.snapshot.sha256,
            created: description.snapshot.createdAt.toISOString(),
          },
    notes: [...description.notes],
  };
}
