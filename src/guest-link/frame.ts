import { GlasshouseError } from '../base/errors.js';
import { FrameDecoder as LinkFrameDecoder } from '../base/frame.js';

export { encodeFrame, type Frame, FRAME_HEADER_BYTES, FRAME_MAX_PAYLOAD } from '../base/frame.js';

export function violation(message: string): GlasshouseError {
  return new GlasshouseError('guest_link_violation', `The guest link was broken: ${message}.`);
}

/** Cuts what a guest sends into frames. Throws `guest_link_violation`. */
export class FrameDecoder extends LinkFrameDecoder {
  /** `nextSequence`: of the first frame; not 0 on a link that goes on where a snapshot was taken. */
  constructor(nextSequence = 0) {
    super(violation, nextSequence);
  }
}
