/**
 * Parts of Debian's kernel that cost boot time under emulation and give a guest without their devices nothing:
 * kprobe events, the kernel's own BTF, trusted keys for modules, congestion control, self-tests of ciphers.
 */
const UNUSED_INITCALLS = [
  'init_kprobe_trace',
  'btf_vmlinux_init',
  'load_system_certificate_list',
  'cubictcp_register',
  'crypto_kdf108_init',
  'init_blk_tracer',
];

/**
 * What every guest's kernel is told (Documentation/admin-guide/kernel-parameters.rst). `reboot`: the kind of reset that
 * its monitor takes for the end. `absent`: further parts that would look for devices that it does not have.
 */
export function guestKernelParameters(reboot: 't' | 'k', absent: readonly string[] = []): string[] {
  return [
    'console=ttyS0',
    'quiet',
    // A panic ends the machine at once.
    'panic=-1',
    `reboot=${reboot}`,
    'cryptomgr.notests',
    // Nothing in the guest has a policy or an audit daemon.
    'lsm=',
    'audit=0',
    `initcall_blacklist=${[...UNUSED_INITCALLS, ...absent].join(',')}`,
  ];
}
