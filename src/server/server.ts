import { HttpServer } from './http-server.js';
import { createApp } from './create-app.js';
import { type ServerDependencies } from './dependencies.js';
import { addDocumentationRoutes, collectDocumentation } from './documentation-routes.js';
import { addHealthRoute } from './health-route.js';
import { addMetricsRoute } from './metrics-route.js';
import { ServerMetrics } from './metrics.js';
import { addLogRoutes } from './log-routes.js';
import { addReceiptRoutes } from './receipt-routes.js';
import { addRequestHooks } from './request-hooks.js';
import { addRunRoute } from './run-route.js';
import { ServerState } from './server-state.js';

/** Builds the server with all its routes; nothing listens until listen() is called. */
export async function createServer(dependencies: ServerDependencies): Promise<HttpServer> {
  const { config, version } = dependencies;
  const state = new ServerState(config.bodyLimitBytes);
  const app = createApp(dependencies, state.turns);
  const metrics = new ServerMetrics(dependencies);
  addRequestHooks(app, dependencies, state, metrics);
  await collectDocumentation(app, version);
  addRunRoute(app, dependencies, state, metrics);
  addReceiptRoutes(app, dependencies);
  addLogRoutes(app, dependencies.log);
  addHealthRoute(app, dependencies, state);
  addMetricsRoute(app, metrics);
  addDocumentationRoutes(app, version);
  await app.ready();
  return new HttpServer(app, state, { host: config.host, port: config.port });
}
