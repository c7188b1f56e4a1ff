import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type BackendGauge } from '../backends/backend.js';
import { type ErrorCode } from '../base/errors.js';
import { type CompletedExecution } from '../engine/completed.js';
import { type ServerDependencies } from './dependencies.js';
import { addProcessMetrics } from './process-metrics.js';

const BYTES_PER_MIB = 1024 * 1024;
const MS_PER_SECOND = 1000;
/** From a millisecond to the longest run that the default settings allow. */
const SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
] as const;

/** Everything that GET /metrics says. Labels never come from clients, so that their number is bounded. */
export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #dependencies: ServerDependencies;
  readonly #executions: Counter<'status' | 'backend'>;
  readonly #errors: Counter<'code'>;
  readonly #refused: Counter<'code'>;
  readonly #stages: Histogram<'stage'>;
  readonly #bootStages: Histogram<'stage'>;
  readonly #requests: Counter<'method' | 'route' | 'status'>;
  readonly #backendGauges = new Map<string, Gauge>();

  constructor(dependencies: ServerDependencies) {
    this.#dependencies = dependencies;
    const registers = [this.#registry];
    this.#executions = new Counter({
      name: 'glasshouse_executions_total',
      help: 'Executions that have a receipt, by how they ended.',
      labelNames: ['status', 'backend'],
      registers,
    });
    this.#errors = new Counter({
      name: 'glasshouse_execution_errors_total',
      help: 'Executions that have a receipt with an error beside the status, by its code.',
      labelNames: ['code'],
      registers,
    });
    this.#refused = new Counter({
      name: 'glasshouse_executions_refused_total',
      help: 'Executions without a receipt: refused, given up before they were started, or not to be stored; by the code of the error.',
      labelNames: ['code'],
      registers,
    });
    this.#stages = new Histogram({
      name: 'glasshouse_stage_duration_seconds',
      help: 'Time that executions spent in each stage: queue, boot, run, collect, receipt, and total.',
      labelNames: ['stage'],
      buckets: [...SECONDS],
      registers,
    });
    this.#bootStages = new Histogram({
      name: 'glasshouse_boot_stage_duration_seconds',
      help: 'Time that executions spent in each part of the boot.',
      labelNames: ['stage'],
      buckets: [...SECONDS],
      registers,
    });
    this.#requests = new Counter({
      name: 'glasshouse_http_requests_total',
      help: 'HTTP requests, by route and by the status of the answer.',
      labelNames: ['method', 'route', 'status'],
      registers,
    });
    this.#addLoad();
    addProcessMetrics(this.#registry);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text format of Prometheus, version 0.0.4. */
  async text(): Promise<string> {
    for (const gauge of this.#dependencies.engine.gauges()) this.#backendGauge(gauge).set(gauge.value);
    return this.#registry.metrics();
  }

  /** An execution that has a receipt. */
  countExecution({ status, error, durationMs, timings }: CompletedExecution): void {
    const backend = this.#dependencies.backendStatus().description?.name ?? 'unknown';
    this.#executions.inc({ status, backend });
    if (error !== null) this.#errors.inc({ code: error.code });
    const stages = {
      queue: timings.queueMs,
      boot: timings.bootMs,
      run: timings.runMs,
      collect: timings.collectMs,
      receipt: timings.receiptMs,
      total: durationMs,
    };
    for (const [stage, ms] of Object.entries(stages)) this.#stages.observe({ stage }, ms / MS_PER_SECOND);
    for (const [stage, ms] of Object.entries(timings.bootStages))
      this.#bootStages.observe({ stage }, ms / MS_PER_SECOND);
  }

  /** An execution that has none. */
  countRefusal(code: ErrorCode): void {
    this.#refused.inc({ code });
  }

  /** `route` is the pattern of the route, not the path; null where there is none. */
  countRequest(method: string, route: string | null, status: string): void {
    this.#requests.inc(
      route === null ? { method: 'other', route: 'none', status } : { method, route, status },
    );
  }

  #addLoad(): void {
    const { engine } = this.#dependencies;
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name: `glasshouse_${name}`,
        help,
        registers: [this.#registry],
        collect() {
          this.set(read());
        },
      });
    };
    gauge('queue_length', 'Executions that wait for their turn.', () => engine.load.queued);
    gauge('queue_limit', 'Executions that may wait.', () => engine.load.limits.maxQueued);
    gauge('queue_clients', 'Clients that have executions waiting.', () => engine.load.waitingClients);
    gauge('executions_in_flight', 'Executions that run.', () => engine.load.running);
    gauge('executions_limit', 'Executions that may run at once.', () => engine.load.limits.maxConcurrent);
    gauge('memory_in_use_bytes', 'Memory set aside for executions that run.', () =>
      toBytes(engine.load.memoryMb),
    );
    gauge('memory_limit_bytes', 'Memory that executions may take at once.', () =>
      toBytes(engine.load.limits.memoryMb),
    );
    gauge('cpus_in_use', 'CPUs set aside for executions that run.', () => engine.load.cpus);
    gauge('cpus_limit', 'CPUs that executions may take at once.', () => engine.load.limits.cpus);
  }

  #backendGauge({ name, help }: BackendGauge): Gauge {
    const existing = this.#backendGauges.get(name);
    if (existing !== undefined) return existing;
    const gauge = new Gauge({ name: `glasshouse_${name}`, help, registers: [this.#registry] });
    this.#backendGauges.set(name, gauge);
    return gauge;
  }
}

function toBytes(mebibytes: number): number {
  return mebibytes * BYTES_PER_MIB;
}
