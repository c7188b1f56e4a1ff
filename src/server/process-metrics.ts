import { readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import { Gauge, type Registry } from 'prom-client';

const MICROSECONDS_PER_SECOND = 1e6;
const MS_PER_SECOND = 1000;

/**
 * What the library's own defaults say of a process that an operator needs, under their names. Those start a timer that
 * wakes an idle server a hundred times a second, and observers that nobody can stop again; these look when asked.
 */
export function addProcessMetrics(registry: Registry): void {
  const gauge = (name: string, help: string, read: () => number | Promise<number>): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect(): Promise<void> {
        this.set(await read());
      },
    });
  };
  gauge('process_cpu_seconds_total', 'User and system CPU time of the server itself.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / MICROSECONDS_PER_SECOND;
  });
  const startedAt = Date.now() / MS_PER_SECOND - process.uptime();
  gauge('process_start_time_seconds', 'When the server was started, in Unix time.', () => startedAt);
  gauge('process_resident_memory_bytes', 'Resident memory of the server itself.', () =>
    process.memoryUsage.rss(),
  );
  gauge('process_open_fds', 'Open file descriptors of the server.', openDescriptors);
  gauge('nodejs_heap_size_used_bytes', 'Heap of JavaScript in use.', () => process.memoryUsage().heapUsed);
  gauge('nodejs_external_memory_bytes', 'Memory of buffers outside of the heap.', () => {
    const { external, arrayBuffers } = process.memoryUsage();
    return external + arrayBuffers;
  });
  gauge('nodejs_eventloop_lag_seconds', 'How long one turn of the event loop takes now.', eventLoopLag);
  gauge(
    'nodejs_eventloop_utilization_ratio',
    'Part of its life in which the event loop was busy.',
    () => performance.eventLoopUtilization().utilization,
  );
}

async function eventLoopLag(): Promise<number> {
  const begunAt = performance.now();
  await turnOfEventLoop();
  return (performance.now() - begunAt) / MS_PER_SECOND;
}

/** Without the one that reads the directory. */
function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length - 1;
}
