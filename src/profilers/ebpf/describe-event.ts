import { type Text, textFromBytes } from '../../receipts/text.js';
import { type ObservedEvent } from '../profiler.js';
import { type ExecutedWithArgv, type JoinedEvent } from './argv-joiner.js';
import { queriedName } from './dns-query.js';
import { isExchange, operationOf, valueOf } from './file-operation.js';
import { errorName, signalName } from './number-names.js';
import { type Changed, type FileUsed, type Name, type Operand, type SocketUsed } from './observer-message.js';
import { marksOf, resolveOperand, textOfName } from './resolve-path.js';
import { familyName, parseSocketAddress, protocolName } from './socket-address.js';
import { systemCallName } from './system-call-names.js';

const NANOSECONDS_PER_US = 1_000;
const NANOSECONDS_PER_MS = 1_000_000;
const ACCESS_MODES = ['read', 'write', 'read_write', 'none'] as const;
const SOCKET_OPERATIONS: Readonly<Record<number, string>> = {
  1: 'connect',
  2: 'bind',
  3: 'listen',
  4: 'accept',
  5: 'traffic',
  6: 'connected',
};

/** One event in plain JSON, with names for numbers: docs/observation.md, "Events". `startNs`: CLOCK_MONOTONIC. */
export function describeEvent(event: JoinedEvent, startNs: number): ObservedEvent {
  const at_us = Math.max(0, Math.round((event.timeNs - startNs) / NANOSECONDS_PER_US));
  const head = { at_us, pid: event.pid, ...(event.tid === event.pid ? {} : { tid: event.tid }) };
  return { event: event.type, ...head, ...fieldsOf(event) };
}

function fieldsOf(event: JoinedEvent): Readonly<Record<string, unknown>> {
  switch (event.type) {
    case 'process':
      return { parent_pid: event.isFirst ? null : event.parentPid };
    case 'exec':
      return execFields(event);
    case 'process_end':
      return {
        exit_code: event.signal === 0 ? event.exitCode : null,
        signal: event.signal === 0 ? null : signalName(event.signal),
        threads: event.threads,
        cpu_ms: Math.round(event.cpuNs / NANOSECONDS_PER_MS),
        max_rss_kb: event.maxRssKb,
      };
    case 'file':
      return fileFields(event);
    case 'file_totals':
      return {
        file: event.file,
        opens: event.opens,
        bytes_read: event.bytesRead,
        bytes_written: event.bytesWritten,
        mapped: event.isMapped,
      };
    case 'open_failed':
      return { ...operandFields(event.operand), error: errorName(event.errno) };
    case 'change':
      return changeFields(event);
    case 'socket':
      return socketFields(event);
    case 'peer_totals':
      return {
        family: familyName(event.family),
        protocol: protocolName(event.family, event.kind, 0),
        ...parseSocketAddress(event.peer),
        bytes_sent: event.bytesSent,
        bytes_received: event.bytesReceived,
      };
    case 'dns':
      return { server: parseSocketAddress(event.server), name: nameOfQuery(event.message) };
    case 'notable':
      return {
        call: systemCallName(event.abi, event.number),
        error: event.errno === 0 ? null : errorName(event.errno),
        result: event.result.toString(),
        args: event.args.map((arg) => `0x${BigInt.asUintN(64, arg).toString(16)}`),
      };
  }
}

function execFields(event: ExecutedWithArgv): Readonly<Record<string, unknown>> {
  return {
    ...nameFields('executable', event.executable),
    script: event.isScript ? textFromBytes(event.name.bytes) : null,
    argv: splitArgv(event.argv),
    argv_complete: event.argvComplete,
    cwd: textOfName(event.cwd),
    uid: event.uid,
    euid: event.euid,
    privileged: event.gainedPrivileges,
  };
}

function splitArgv(argv: Buffer): Text[] {
  const texts: Text[] = [];
  for (let at = 0; at < argv.length;) {
    const end = argv.indexOf(0, at);
    texts.push(textFromBytes(argv.subarray(at, end === -1 ? argv.length : end)));
    at = end === -1 ? argv.length : end + 1;
  }
  return texts;
}

function fileFields(event: FileUsed): Readonly<Record<string, unknown>> {
  return {
    how: event.origin,
    access: ACCESS_MODES[event.flags & 3],
    flags: `0${event.flags.toString(8)}`,
    ...nameFields('path', event.path),
    file: event.file,
  };
}

function changeFields(event: Changed): Readonly<Record<string, unknown>> {
  const operation = operationOf(event);
  const hasSecondName = operation === 'rename' || operation === 'link';
  return {
    operation: operation ?? `operation_${event.operation}`,
    ...operandFields(event.operand),
    ...(hasSecondName ? { to: textFromBytes(resolveOperand(event.second).bytes) } : {}),
    ...(operation === 'symlink' ? { target: textFromBytes(event.second.name.bytes) } : {}),
    ...(operation === 'rename' ? { exchange: isExchange(event) } : {}),
    value: operation === null ? null : valueOf(operation, event.detail),
    error: event.errno === 0 ? null : errorName(event.errno),
  };
}

function socketFields(event: SocketUsed): Readonly<Record<string, unknown>> {
  const { given, own, peer } = event;
  return {
    operation: SOCKET_OPERATIONS[event.operation] ?? `operation_${event.operation}`,
    family: familyName(event.family),
    protocol: protocolName(event.family, event.kind, event.protocol),
    ...parseSocketAddress(given.length > 0 ? given : peer),
    own: parseSocketAddress(own),
    error: event.errno === 0 ? null : errorName(event.errno),
  };
}

function operandFields(operand: Operand): Readonly<Record<string, unknown>> {
  const { bytes, marks } = resolveOperand(operand);
  return { path: textFromBytes(bytes), marks };
}

function nameFields(field: string, name: Name): Readonly<Record<string, unknown>> {
  return { [field]: textOfName(name), marks: marksOf(name.flags) };
}

function nameOfQuery(message: Buffer): Text | null {
  const name = queriedName(message, false) ?? queriedName(message, true);
  return name === null ? null : textFromBytes(name);
}
