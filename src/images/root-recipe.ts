import { type DebianRoot, recipeDigest } from './debian-root.js';
import { HELD_INTERPRETER_MODULE } from './held-interpreter.js';

/** What the root file system of the guest consists of: Python, a shell, and what a small command needs. */
const PACKAGES: readonly string[] = [
  'base-files',
  'coreutils',
  'dash',
  'findutils',
  'grep',
  'gzip',
  'libc-bin',
  'python3',
  'sed',
  'tar',
  'tzdata',
];

/** Files of these packages that no program in the guest needs. */
const LEFT_OUT: readonly string[] = [
  '/usr/share/doc/*',
  '/usr/share/man/*',
  '/usr/share/info/*',
  '/usr/share/locale/*',
  '/usr/share/lintian/*',
  '/usr/share/bug/*',
  '/usr/share/doc-base/*',
  '/usr/share/common-licenses/*',
  '/usr/share/zoneinfo/right/*',
  // Character sets beside the ones that are built in to libc.
  '/usr/lib/*/gconv/*',
  // Nothing is ever installed into the guest.
  '/usr/bin/dpkg*',
  '/usr/sbin/dpkg*',
  '/usr/share/dpkg/*',
  '/usr/bin/debconf*',
  '/usr/share/debconf/*',
  '/usr/share/perl5/*',
  '/usr/bin/update-alternatives',
  '/usr/sbin/start-stop-daemon',
  '/etc/cron.daily/*',
  '/etc/logrotate.d/*',
  '/etc/update-motd.d/*',
];

/** Left out when the finished root is unpacked: what only the bootstrap itself needed, or came from the host. */
const LEFT_BEHIND: readonly string[] = [
  './dev/*',
  './etc/apt',
  './etc/dpkg',
  './etc/alternatives',
  './etc/hostname',
  './etc/resolv.conf',
  './var/cache',
  './var/lib/apt',
  './var/lib/dpkg',
  './var/log',
  './var/backups',
];

/** Where the bootstrap puts what is meant for us and not for the guest. */
export const HANDOVER_DIRECTORY = '.glasshouse';

/**
 * Runs after the packages are unpacked. The packages' own installation scripts are never run; these lines do
 * what is needed of their work.
 */
const EXTRACT_HOOK = `
set -eu
root=$1
handover=$root/${HANDOVER_DIRECTORY}
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"

mkdir "$handover"
kernel=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/^ *Depends: \\(linux-image-.*\\)$/\\1/p')
cd "$handover"
apt-get --option APT::Sandbox::User=root download "$kernel"
mv "$kernel"_*.deb kernel.deb
cd /
for package in "$root"/var/cache/apt/archives/*.deb "$handover/kernel.deb"; do
  dpkg-deb --show --showformat '\${Package} \${Version}\\n' "$package"
done > "$handover/packages"

cat > "$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
sandbox:x:1000:1000:sandbox:/workspace:/bin/sh
END
cat > "$root/etc/group" <<'END'
root:x:0:
tty:x:5:
nogroup:x:65534:
sandbox:x:1000:
END
cat > "$root/etc/nsswitch.conf" <<'END'
passwd: files
group: files
hosts: files
END
echo '127.0.0.1 localhost glasshouse' > "$root/etc/hosts"

ln -sf mawk "$root/usr/bin/awk"
ln -sf which.debianutils "$root/usr/bin/which"
mkdir -p "$root/workspace" "$root/run" "$root/tmp" "$root/proc" "$root/sys" "$root/dev"
chown 1000:1000 "$root/workspace"
chmod 1777 "$root/tmp"
rm -rf "$root/var/tmp"
ln -s ../tmp "$root/var/tmp"

for library in "$root"/usr/lib/python3.*; do
  rm -f "$library/sitecustomize.py"
  cat > "$library/sitecustomize.py" <<'END'
${HELD_INTERPRETER_MODULE}END
done

chroot "$root" /usr/sbin/ldconfig
# Unchecked: the root is read-only, so no source can ever be newer, and Python need not look.
chroot "$root" /bin/sh -c 'python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3*/'
find "$root/usr" "$root/etc" "$root/var" "$root/root" -perm /6000 ! -type l -exec chmod a-s {} +
`;

/** The root file system of the guest, of one Debian release. */
export function guestRoot(suite: string): DebianRoot {
  return {
    suite,
    packages: PACKAGES,
    leftOut: LEFT_OUT,
    extractHook: EXTRACT_HOOK,
    leftBehind: [...LEFT_BEHIND, `./${HANDOVER_DIRECTORY}`],
  };
}

/** Changes when a root built by this recipe would differ for another reason than newer packages. */
export function recipeSha256(suite: string, mirror: string | null): string {
  return recipeDigest(guestRoot(suite), mirror);
}
