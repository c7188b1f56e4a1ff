import { fileURLToPath } from 'node:url';

import { GlasshouseError } from '../base/errors.js';
import { buildImage, DEFAULT_SUITE } from '../images/build.js';
import { openImage } from '../images/locate.js';
import { type ImageManifest } from '../images/manifest.js';
import { type Console } from './console.js';
import { type Services } from './services.js';

const GUEST_INIT = fileURLToPath(new URL('../../../build/guest/init', import.meta.url));

/** `glasshouse image build`: from the newest packages, whatever is there already. */
export async function buildGuestImage(services: Services, console: Console, json: boolean): Promise<number> {
  const interrupt = new AbortController();
  const stop = (): void => {
    interrupt.abort();
  };
  process.once('SIGINT', stop);
  try {
    const manifest = await buildImage({
      directory: services.config.imageDir,
      initBinary: GUEST_INIT,
      suite: DEFAULT_SUITE,
      mirror: services.config.debianMirror === '' ? null : services.config.debianMirror,
      onProgress: (message) => {
        console.note(message);
      },
      signal: interrupt.signal,
    });
    print(console, services.config.imageDir, manifest, json);
    return 0;
  } finally {
    process.removeListener('SIGINT', stop);
  }
}

/** `glasshouse image show`: what the image consists of, after checking it against its manifest. */
export async function showGuestImage(services: Services, console: Console, json: boolean): Promise<number> {
  const image = await openImage(services.config.imageDir);
  print(console, image.directory, image.manifest, json);
  return 0;
}

/** `glasshouse image warm`: makes the snapshot that programs with the default limits are cloned from. */
export async function warmGuestImage(services: Services, console: Console, json: boolean): Promise<number> {
  const backend = await services.backend(services.config.backend, 'snapshot');
  await backend.prepare(new AbortController().signal);
  const { snapshot, notes } = backend.describe();
  if (snapshot === null) {
    const reason = notes.at(-1) ?? 'Set snapshots to "on".';
    throw new GlasshouseError('unsupported_by_backend', `${backend.name} makes no snapshot here: ${reason}`);
  }
  const created = snapshot.createdAt.toISOString();
  if (json) console.json({ sha256: snapshot.sha256, created });
  else console.line(`snapshot ${snapshot.sha256}, made ${created}`);
  return 0;
}

function print(console: Console, directory: string, manifest: ImageManifest, json: boolean): void {
  if (json) {
    console.json({ directory, ...manifest });
    return;
  }
  console.line(directory);
  console.line(
    `  Debian ${manifest.suite} ${manifest.architecture}, kernel ${manifest.kernelRelease}, made ${manifest.created}`,
  );
  console.line(`  ${Object.keys(manifest.packages).length} packages`);
  console.table(
    ['PART', 'BYTES', 'SHA256'],
    Object.entries(manifest.parts).map(([name, part]) => [name, String(part.sizeBytes), part.sha256]),
  );
}
