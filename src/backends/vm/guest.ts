import { GlasshouseError } from '../../base/errors.js';
import { GuestConnection, type LinkPosition } from '../../guest-link/connection.js';
import { type GuestMessage } from '../../guest-link/guest-message.js';
import { violation } from '../../guest-link/frame.js';
import { type GuestOrigin } from '../backend.js';
import { type VirtualMachine } from './machine.js';

/** A machine with the conversation into it. Whoever holds it ends it. */
export interface Guest {
  readonly machine: VirtualMachine;
  readonly connection: GuestConnection;
  readonly origin: GuestOrigin;
}

/** A machine that was just launched and has yet to say hello. */
export function bootingGuest(machine: VirtualMachine): Guest {
  return {
    machine,
    connection: new GuestConnection(machine.link),
    origin: { start: 'cold', snapshot: null },
  };
}

/** A machine that goes on in the middle of a conversation. */
export function clonedGuest(machine: VirtualMachine, position: LinkPosition, origin: GuestOrigin): Guest {
  return { machine, connection: new GuestConnection(machine.link, position), origin };
}

/** The next message of a guest that is being prepared. Throws `guest_lost`, `guest_link_violation`, `guest_setup_failed`. */
export async function nextMessage(connection: GuestConnection): Promise<GuestMessage> {
  const message = await connection.next();
  if (message === null)
    throw new GlasshouseError('guest_lost', 'The guest ended in the middle of its preparation.');
  if (message.type === 'start_failed')
    throw new GlasshouseError(
      'guest_setup_failed',
      `Guest init could not do its work: ${message.stage.replaceAll('_', ' ')} failed with errno ${message.errno}.`,
    );
  return message;
}

/** The next message, which must be of this type. Throws what nextMessage() throws. */
export async function expectMessage(connection: GuestConnection, type: GuestMessage['type']): Promise<void> {
  const message = await nextMessage(connection);
  if (message.type !== type) throw violation(`${message.type} came where ${type} was due`);
}
