import { createHash } from 'node:crypto';

/** Debian 13: its QEMU 10 emulates SVM well enough for KVM, and its cloud kernel has NVMe disks built in. */
export const OUTER_SUITE = 'trixie';

/**
 * What the outer guest consists of: its kernel, what an administrator's shell needs, Python to measure against, and
 * QEMU, which also runs the outer guest itself.
 */
const PACKAGES: readonly string[] = [
  'base-files',
  'bash',
  'coreutils',
  'dash',
  'e2fsprogs',
  'findutils',
  'grep',
  'gzip',
  'iproute2',
  'kmod',
  'libatomic1',
  'libc-bin',
  'libstdc++6',
  'linux-image-cloud-amd64',
  'mawk',
  'mount',
  'procps',
  'python3',
  'qemu-system-x86',
  'sed',
  'strace',
  'tar',
  'util-linux',
];

const LEFT_OUT: readonly string[] = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*'];

/** Left out when the finished root is unpacked: devices, which only root can make, and what only apt needs. */
const LEFT_BEHIND: readonly string[] = ['./dev/*', './var/cache', './var/lib/apt', './var/lib/dpkg'];

/** Unpacking alone does not make the links of `/bin` and its like into `/usr` early enough. */
const SETUP_HOOK = `
set -eu
for directory in bin sbin lib lib64; do
  mkdir -p "$1/usr/$directory"
  ln -s "usr/$directory" "$1/$directory"
done
`;

/** In place of the packages' own installation scripts, which are never run. */
const EXTRACT_HOOK = `
set -eu
root=$1
cat > "$root/etc/passwd" <<'END'
root:x:0:0:root:/scratch/home:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
END
cat > "$root/etc/group" <<'END'
root:x:0:
tty:x:5:
kvm:x:104:
nogroup:x:65534:
END
echo '127.0.0.1 localhost' > "$root/etc/hosts"
mkdir -p "$root/lab" "$root/scratch" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp"
ln -sf mawk "$root/usr/bin/awk"
chroot "$root" ldconfig
chroot "$root" depmod "$(ls "$root/usr/lib/modules")"
`;

/** Arguments of mmdebstrap for a tar archive of the outer root at `target`; a null mirror means Debian's own. */
export function outerBootstrapArguments(target: string, mirror: string | null): readonly string[] {
  return [
    '--variant=extract',
    '--format=tar',
    `--include=${PACKAGES.join(',')}`,
    '--skip=chroot/mount',
    ...LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    `--setup-hook=${SETUP_HOOK}`,
    `--extract-hook=${EXTRACT_HOOK}`,
    OUTER_SUITE,
    target,
    ...(mirror === null ? [] : [mirror]),
  ];
}

/** Arguments of tar that unpack the outer root without what the outer guest has no use for. */
export function outerUnpackArguments(archive: string, target: string): readonly string[] {
  return [
    '--extract',
    '--numeric-owner',
    '--same-permissions',
    `--directory=${target}`,
    ...LEFT_BEHIND.map((path) => `--exclude=${path}`),
    `--file=${archive}`,
  ];
}

/** A short name for what this recipe makes: another one for every change of it. */
export function outerKey(mirror: string | null, stub: string): string {
  const recipe = [outerBootstrapArguments('target', mirror), outerUnpackArguments('archive', 'target'), stub];
  return createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16);
}
