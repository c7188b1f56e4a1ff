import { GlasshouseError } from '../base/errors.js';
import { encodeSigstoreBundle } from '../receipts/sigstore.js';
import { type ReceiptFilter, type StoredReceipt } from '../receipts/store.js';
import { ForwardedOutput } from './forward-output.js';
import { type Services } from './services.js';
import { findReceipt, payloadOf } from './stored-receipt.js';

export type ExportFormat = 'bundle' | 'dsse' | 'statement' | 'sigstore';

const LINE_END = Buffer.from('\n');

/** `glasshouse receipts export [ID]`: the bytes of one receipt, as `glasshouse verify` takes them. */
export async function exportReceipt(
  services: Services,
  options: { readonly id: string; readonly format: ExportFormat },
): Promise<number> {
  const encode = await encoderOf(services, options.format);
  const bytes = encode(findReceipt(await services.store(), options.id));
  await using output = new ForwardedOutput();
  await output.write('stdout', bytes);
  return 0;
}

/**
 * `glasshouse receipts export --since ...`: one receipt a line, oldest first. The next one is read when the last one
 * has been taken, so memory does not grow with their number.
 */
export async function exportReceipts(
  services: Services,
  options: { readonly filter: ReceiptFilter; readonly format: ExportFormat },
): Promise<number> {
  const encode = await encoderOf(services, options.format);
  const store = await services.store();
  await using output = new ForwardedOutput();
  for (const receipt of store.each(options.filter))
    await output.write('stdout', Buffer.concat([encode(receipt), LINE_END]));
  return 0;
}

/** All formats are one line: compact JSON, in which a line end can only stand escaped. */
async function encoderOf(
  services: Services,
  format: ExportFormat,
): Promise<(receipt: StoredReceipt) => Uint8Array> {
  const encodeBundle = await services.bundleEncoder();
  switch (format) {
    case 'bundle':
      return encodeBundle;
    case 'dsse':
      return ({ envelope }) => envelope;
    case 'sigstore':
      return ({ envelope }) => encodeSigstoreBundle(envelope);
    case 'statement':
      return ({ envelope }) => payloadOf(envelope);
    default:
      throw new GlasshouseError('configuration_invalid', `There is no format ${JSON.stringify(format)}.`);
  }
}
