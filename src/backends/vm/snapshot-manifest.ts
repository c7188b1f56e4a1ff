import { createHash } from 'node:crypto';

import { GlasshouseError } from '../../base/errors.js';
import { type LinkPosition } from '../../guest-link/connection.js';
import { type Profile } from './snapshot.js';

export const PARTS = ['memory', 'state', 'workspace'] as const;
export type SnapshotPart = (typeof PARTS)[number];

/** What a stored snapshot says of itself, in snapshot.json. */
export interface SnapshotManifest {
  /** Digest of all that it depends on: program, processor, image, limits. Also the name of its directory. */
  readonly key: string;
  /** RFC 3339, UTC. */
  readonly created: string;
  readonly profile: Profile;
  readonly link: LinkPosition;
  /** sha256 over the blocks that are not zero, each after its offset (u64, little-endian); see digestOf(). */
  readonly digests: Readonly<Record<SnapshotPart, string>>;
  readonly memoryBytes: number;
}

type Stored = SnapshotManifest & { readonly format_version: unknown; readonly manifest_sha256: unknown };

const FORMAT_VERSION = 2;
const SHA256 = /^[0-9a-f]{64}$/;

export function formatSnapshotManifest(manifest: SnapshotManifest): string {
  const content = { format_version: FORMAT_VERSION, ...manifest };
  return `${JSON.stringify({ ...content, manifest_sha256: digestOf(content) }, null, 2)}\n`;
}

/** Throws `snapshot_corrupt`. The file is in our own private directory: it may be damaged, but it is not hostile. */
export function parseSnapshotManifest(text: string): SnapshotManifest {
  try {
    const { manifest_sha256: digest, ...content } = JSON.parse(text) as Stored;
    const { format_version: version, ...manifest } = content;
    const numbers: unknown[] = [
      manifest.memoryBytes,
      ...Object.values<unknown>({ ...manifest.profile }),
      ...Object.values<unknown>({ ...manifest.link }),
    ];
    const valid =
      version === FORMAT_VERSION &&
      digest === digestOf(content) &&
      SHA256.test(manifest.key) &&
      numbers.length === 6 &&
      numbers.every((value) => Number.isSafeInteger(value) && Number(value) >= 0) &&
      PARTS.every((part) => SHA256.test(manifest.digests[part])) &&
      !Number.isNaN(Date.parse(manifest.created));
    if (valid) return manifest;
  } catch (error) {
    throw corrupt(error);
  }
  throw corrupt(null);
}

/** Of everything else in the manifest, in its order: a position that is off by one is as fatal as lost memory. */
function digestOf(content: object): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

function corrupt(cause: unknown): GlasshouseError {
  return new GlasshouseError('snapshot_corrupt', 'The manifest of a snapshot is damaged.', { cause });
}
