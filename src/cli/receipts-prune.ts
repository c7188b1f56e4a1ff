import { GlasshouseError } from '../base/errors.js';
import { type RetentionPolicy } from '../receipts/store.js';
import { type Console } from './console.js';
import { bytesForPeople } from './quantities.js';
import { type Services } from './services.js';

/** `glasshouse receipts prune`: drops stored outputs, never receipts. */
export async function pruneOutputs(
  services: Services,
  console: Console,
  options: { readonly policy: RetentionPolicy; readonly dryRun: boolean; readonly json: boolean },
): Promise<number> {
  const { policy, dryRun } = options;
  if (policy.olderThanMs === null && policy.maxBytes === null)
    throw new GlasshouseError('configuration_invalid', 'Say what to keep: --max-age, --max-bytes or both.');
  const store = await services.store();
  const dropped = dryRun ? store.outputsToDrop(policy) : await store.dropOutputs(policy);
  if (options.json) console.json({ ...dropped, dry_run: dryRun });
  else {
    const verb = dryRun ? 'Would drop' : 'Dropped';
    console.line(
      `${verb} the outputs of ${dropped.receipts} receipts, ${bytesForPeople(dropped.bytes)}. The receipts stay.`,
    );
  }
  return 0;
}
