import { GlasshouseError } from '../base/errors.js';

export const MANIFEST_FILE = 'manifest.json';
export const PART_NAMES = ['kernel', 'initramfs', 'root'] as const;
export type PartName = (typeof PART_NAMES)[number];

export interface ImagePart {
  /** Name of the file in the image's directory. */
  readonly file: string;
  readonly sizeBytes: number;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** What a guest image consists of, and from what it was made. */
export interface ImageManifest {
  /** Name of the Debian release, for example `bookworm`. */
  readonly suite: string;
  /** As Debian names it. */
  readonly architecture: 'amd64';
  /** As `uname -r` prints it in the guest. */
  readonly kernelRelease: string;
  /** RFC 3339, UTC. */
  readonly created: string;
  /** Digest of the recipe that the root was built by; another recipe means another root. */
  readonly recipeSha256: string;
  /** Digest of the guest init inside the initramfs. */
  readonly guestInitSha256: string;
  /** Version of every Debian package in the root, and of the kernel's. */
  readonly packages: Readonly<Record<string, string>>;
  readonly parts: Readonly<Record<PartName, ImagePart>>;
}

const FORMAT_VERSION = 1;
const SHA256 = /^[0-9a-f]{64}$/;
const SUITE = /^[a-z][a-z0-9-]{0,63}$/;
const KERNEL_RELEASE = /^[0-9][A-Za-z0-9.+~_-]{0,63}$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const FILE_NAME = /^[a-z0-9][a-z0-9.-]{0,127}$/;
/** Debian policy 5.6.1 and 5.6.12. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9+.-]{0,127}$/;
const PACKAGE_VERSION = /^[A-Za-z0-9.+:~-]{1,255}$/;

/** The manifest as it is written to its file. */
export function formatManifest(manifest: ImageManifest): string {
  const part = ({ file, sizeBytes, sha256 }: ImagePart): object => ({ file, size: sizeBytes, sha256 });
  const packages = Object.entries(manifest.packages).sort(([a], [b]) => (a < b ? -1 : 1));
  const json = {
    format_version: FORMAT_VERSION,
    suite: manifest.suite,
    architecture: manifest.architecture,
    kernel_release: manifest.kernelRelease,
    created: manifest.created,
    recipe_sha256: manifest.recipeSha256,
    guest_init_sha256: manifest.guestInitSha256,
    parts: {
      kernel: part(manifest.parts.kernel),
      initramfs: part(manifest.parts.initramfs),
      root: part(manifest.parts.root),
    },
    packages: Object.fromEntries(packages),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/**
 * Reads a manifest strictly: every field must be there, of its exact shape, and no other.
 *
 * @throws GlasshouseError `image_corrupt`, naming the field.
 */
export function parseManifest(text: string): ImageManifest {
  const manifest = new Fields('the manifest', parseJson(text));
  if (manifest.take('format_version') !== FORMAT_VERSION) throw corrupt('format_version is unknown');
  const architecture = manifest.text('architecture', /^amd64$/);
  const parts = manifest.fields('parts');
  const parsed: ImageManifest = {
    suite: manifest.text('suite', SUITE),
    architecture: architecture as 'amd64',
    kernelRelease: manifest.text('kernel_release', KERNEL_RELEASE),
    created: manifest.text('created', TIMESTAMP),
    recipeSha256: manifest.text('recipe_sha256', SHA256),
    guestInitSha256: manifest.text('guest_init_sha256', SHA256),
    parts: {
      kernel: parsePart(parts.fields('kernel')),
      initramfs: parsePart(parts.fields('initramfs')),
      root: parsePart(parts.fields('root')),
    },
    packages: parsePackages(manifest.take('packages')),
  };
  parts.end();
  manifest.end();
  return parsed;
}

function parsePart(part: Fields): ImagePart {
  const file = part.text('file', FILE_NAME);
  const sizeBytes = part.take('size');
  if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw corrupt(`the size of ${file} is not a number of bytes`);
  }
  const sha256 = part.text('sha256', SHA256);
  part.end();
  return { file, sizeBytes, sha256 };
}

function parsePackages(value: unknown): Readonly<Record<string, string>> {
  const packages = Object.entries(objectOf('packages', value)).map(([name, version]): [string, string] => {
    if (!PACKAGE_NAME.test(name)) throw corrupt('packages has a name that no package can have');
    if (typeof version !== 'string' || !PACKAGE_VERSION.test(version)) {
      throw corrupt(`packages has a malformed version of ${name}`);
    }
    return [name, version];
  });
  return Object.fromEntries(packages);
}

/** The fields of a JSON object, each to be taken once. */
class Fields {
  readonly #what: string;
  readonly #left: Map<string, unknown>;

  constructor(what: string, value: unknown) {
    this.#what = what;
    this.#left = new Map(Object.entries(objectOf(what, value)));
  }

  take(name: string): unknown {
    const value = this.#left.get(name);
    if (!this.#left.delete(name)) throw corrupt(`${name} is missing in ${this.#what}`);
    return value;
  }

  text(name: string, shape: RegExp): string {
    const value = this.take(name);
    if (typeof value !== 'string' || !shape.test(value)) throw corrupt(`${name} is malformed`);
    return value;
  }

  fields(name: string): Fields {
    return new Fields(name, this.take(name));
  }

  end(): void {
    const [unknown] = this.#left.keys();
    if (unknown !== undefined) throw corrupt(`${this.#what} has an unknown field ${JSON.stringify(unknown)}`);
  }
}

function objectOf(what: string, value: unknown): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw corrupt(`${what} is not an object`);
  }
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw corrupt('it is not JSON', error);
  }
}

function corrupt(why: string, cause?: unknown): GlasshouseError {
  return new GlasshouseError(
    'image_corrupt',
    `The manifest of the guest image cannot be read: ${why}. Run "glasshouse image build".`,
    { cause },
  );
}
