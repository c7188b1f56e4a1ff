import { FrameDecoder } from '../../../src/base/frame.js';
import { ArgvJoiner } from '../../../src/profilers/ebpf/argv-joiner.js';
import { decodeObserverMessage } from '../../../src/profilers/ebpf/decode-message.js';
import { LinkOrder } from '../../../src/profilers/ebpf/link-order.js';
import {
  type End,
  isSum,
  isTreeEvent,
  type ObserverMessage,
} from '../../../src/profilers/ebpf/observer-message.js';
import { violation } from '../../../src/profilers/ebpf/payload-reader.js';
import { RecordBuilder } from '../../../src/profilers/ebpf/record/record-builder.js';
import { type Observed } from '../../../src/profilers/profiler.js';
import { ATTACHED, LOADED, overFrame, type Script, START_NS, streamOf } from './frames.js';

/** The messages of a stream; throws at the first that breaks a rule. */
export function read(bytes: Uint8Array): ObserverMessage[] {
  const decoder = new FrameDecoder(violation);
  const order = new LinkOrder();
  const messages: ObserverMessage[] = [];
  for (const frame of decoder.push(bytes)) {
    const message = decodeObserverMessage(frame);
    order.accept(message);
    messages.push(message);
  }
  decoder.end();
  return messages;
}

/** What a receipt has of these frames; they are put between `attached` and `end`. */
export function observedFrom(script: Script, end = overFrame()): Observed {
  const builder = new RecordBuilder(START_NS);
  const joiner = new ArgvJoiner();
  let over: End | null = null;
  for (const message of read(streamOf([LOADED, ATTACHED, ...script, end]))) {
    if (isTreeEvent(message)) for (const event of joiner.push(message)) builder.add(event);
    else if (isSum(message)) builder.addSum(message);
    else if (message.type === 'syscalls') builder.countCalls(message);
    else if (message.type === 'end') over = message;
  }
  for (const event of joiner.end()) builder.add(event);
  return builder.record({
    hooks: ['tp_btf/sys_exit'],
    end: over,
    blindFromNs: null,
    reason: null,
    unknownMessages: 0,
  });
}
