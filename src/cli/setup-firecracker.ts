import { type Console } from './console.js';
import { type Services } from './services.js';

/** `glasshouse setup firecracker`: brings the release that this version is meant for. */
export async function setUpFirecracker(
  services: Services,
  console: Console,
  options: { readonly archive: string | null; readonly json: boolean },
): Promise<number> {
  const stop = new AbortController();
  const cancel = (): void => {
    stop.abort();
  };
  process.once('SIGINT', cancel);
  try {
    const setup = await services.firecrackerSetup();
    const { version, sha256, url } = setup.release;
    if (!options.json) console.note(`Firecracker ${version}: ${options.archive ?? url}`);
    const directory = await setup.install(options.archive, stop.signal);
    if (options.json) console.json({ version, sha256, directory });
    else
      console.line(
        `Firecracker ${version} and its jailer are in ${directory} (sha256 of the archive ${sha256}).`,
      );
    return 0;
  } finally {
    process.removeListener('SIGINT', cancel);
  }
}
