import swagger from '@fastify/swagger';
import { type App } from './app.js';
import { ProblemDocument } from './problem-schema.js';

/** Collects the schemas of the routes that are added after it into one OpenAPI 3.1 document. */
export async function collectDocumentation(app: App, version: string): Promise<void> {
  app.addSchema(ProblemDocument);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Glasshouse',
        version,
        description: 'Runs code that nobody vouches for and returns a signed receipt of what happened.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
    },
    transformObject: (document) =>
      'openapiObject' in document ? withNamedWildcards(document.openapiObject) : document.swaggerObject,
    refResolver: {
      buildLocalReference: ({ $id }, _baseUri, _fragment, index) =>
        typeof $id === 'string' ? $id : `schema-${index}`,
    },
  });
}

/** GET /openapi.json, and GET / for those who look around. */
export function addDocumentationRoutes(app: App, version: string): void {
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => reply.send(app.swagger()));
  app.get('/', { schema: { hide: true } }, async (_request, reply) =>
    reply.send({ name: 'glasshouse', version, run: 'POST /run', documentation: '/openapi.json' }),
  );
}

/** Fastify calls the rest of a path `*`; OpenAPI knows named parameters only. */
function withNamedWildcards<D extends object>(document: D): D {
  const rename = (text: string): string => text.replace('{*}', '{path}');
  const renamed: unknown = JSON.parse(JSON.stringify(document), (key, value: unknown) => {
    if (key === 'name' && value === '*') return 'path';
    if (key !== 'paths' || typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([path, item]) => [rename(path), item as unknown]));
  });
  return renamed as D;
}
