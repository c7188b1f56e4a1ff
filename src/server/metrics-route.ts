import { type App } from './app.js';
import { type ServerMetrics } from './metrics.js';

/** GET /metrics, in the text format of Prometheus. */
export function addMetricsRoute(app: App, metrics: ServerMetrics): void {
  const schema = {
    operationId: 'getMetrics',
    summary: 'Numbers of this server for Prometheus',
    response: {
      200: {
        description: 'The text format of Prometheus, version 0.0.4; docs/http.md names the metrics.',
        content: { 'text/plain': { schema: { type: 'string' } } },
      },
    },
  };
  app.get('/metrics', { schema }, async (_request, reply) => {
    const text = await metrics.text();
    return reply.type(metrics.contentType).send(text);
  });
}
