import { type DebianRoot, recipeDigest } from '../../src/images/debian-root.js';

/** Debian 13: its QEMU 10 emulates SVM well enough for KVM, and its cloud kernel has NVMe disks built in. */
const OUTER_SUITE = 'trixie';

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

/** The root file system of the outer guest. */
export const OUTER_ROOT: DebianRoot = {
  suite: OUTER_SUITE,
  packages: PACKAGES,
  leftOut: LEFT_OUT,
  extractHook: EXTRACT_HOOK,
  leftBehind: LEFT_BEHIND,
};

/** A short name for what this recipe makes: another one for every change of it. */
export function outerKey(mirror: string | null, stub: string): string {
  return recipeDigest(OUTER_ROOT, mirror, [stub]).slice(0, 16);
}
