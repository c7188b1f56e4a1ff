import { setFlagsFromString } from 'node:v8';

import pino from 'pino';

import { GlasshouseError } from '../base/errors.js';
import { VERSION } from '../base/version.js';
import { type Engine } from '../engine/engine.js';
import { Retention } from '../engine/retention.js';
import { redactLogLine } from '../redaction/redact-log.js';
import { type BackendStatus } from '../server/dependencies.js';
import { createServer } from '../server/server.js';
import { type Console } from './console.js';
import { type Services } from './services.js';

const RETENTION_INTERVAL_MS = 600_000;
const ONE_HOUR_MS = 3_600_000;
const BYTES_PER_MIB = 1024 * 1024;

/** `glasshouse serve`: resolves to the exit code once the server has been told to stop and has stopped. */
export async function serve(services: Services, console: Console): Promise<number> {
  // New objects of ours die young: room for more of them only stays resident, 30 MB of it after some hundred requests.
  setFlagsFromString('--semi-space-growth-factor=1');
  const { config } = services;
  const stop = new StopSignals();
  const redactor = await services.redactor();
  const stderr = pino.destination(2);
  const write = (line: string): boolean => stderr.write(redactLogLine(line, redactor));
  const logger = pino({ level: config.logLevel, base: null }, { write });
  // `auto` is among those that keep what runs apart from this machine.
  const backend = await services.backend(config.backend, 'server');
  await backend.prepare(stop.first);
  const description = backend.describe();
  if (description.isolation === 'none') {
    throw new GlasshouseError(
      'configuration_invalid',
      `The server runs code that nobody vouches for; the backend ${backend.name} would run it on this machine. Choose --backend auto.`,
    );
  }
  logger.info({ backend: description }, 'backend ready');
  const engine = await services.engine(backend);
  const store = await services.store();
  await using _retention = new Retention({
    store,
    maxAgeMs: config.outputMaxAgeHours === 0 ? null : config.outputMaxAgeHours * ONE_HOUR_MS,
    maxBytes: config.outputMaxMb === 0 ? null : config.outputMaxMb * BYTES_PER_MIB,
    intervalMs: RETENTION_INTERVAL_MS,
    onDropped: (dropped) => {
      logger.info(dropped, 'dropped old outputs');
    },
    onFailed: (error) => {
      logger.error({ err: error, code: error.code }, 'cannot drop old outputs');
    },
  });
  await using server = await createServer({
    engine,
    store,
    log: store.log,
    encodeBundle: await services.bundleEncoder(),
    backendStatus: () => statusOf(engine),
    config,
    logger,
    version: VERSION,
  });
  const address = await server.listen();
  console.line(
    `Glasshouse listens on ${address} - try: curl -s ${address}/run -H 'content-type: application/json' -d '{"code": "print(2+2)"}'`,
  );
  await stop.requested();
  logger.info({ graceMs: config.shutdownGraceMs }, 'stopping');
  const closed = server.closeGracefully({ graceMs: config.shutdownGraceMs });
  stop.second.addEventListener('abort', () => void server.closeGracefully({ graceMs: 0 }), { once: true });
  await closed;
  stop.release();
  logger.info('stopped');
  return 0;
}

function statusOf(engine: Engine): BackendStatus {
  const detail = engine.whyUnavailable();
  return { ready: detail === null, detail, description: engine.describeBackend() };
}

/** SIGTERM and SIGINT: the first asks for a graceful end, the second for an immediate one. */
class StopSignals {
  readonly #first = new AbortController();
  readonly #second = new AbortController();
  readonly #take = (): void => {
    (this.#first.signal.aborted ? this.#second : this.#first).abort();
  };

  constructor() {
    process.on('SIGTERM', this.#take);
    process.on('SIGINT', this.#take);
  }

  get first(): AbortSignal {
    return this.#first.signal;
  }

  get second(): AbortSignal {
    return this.#second.signal;
  }

  requested(): Promise<void> {
    if (this.first.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.first.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
    });
  }

  release(): void {
    process.removeListener('SIGTERM', this.#take);
    process.removeListener('SIGINT', this.#take);
  }
}
