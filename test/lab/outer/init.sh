# PID 1 of the outer guest, on the shared disk: makes a machine with a working /dev/kvm, runs /lab/job.sh, says how it
# ended, and turns the machine off. What it says itself goes to the serial console.

export PATH=/lab/runtime/bin:/usr/bin:/usr/sbin TERM=dumb LC_ALL=C.UTF-8

say() { echo "lab: $(cut -d' ' -f1 /proc/uptime) s: $*"; }

# Tries every tenth of a second, 60 s at most.
await() {
  tries=600
  until eval "$2"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { say "no $1"; turn_off; }
    sleep 0.1
  done
}

turn_off() {
  sync
  echo o > /proc/sysrq-trigger
  # It is turned off by a thread of the kernel; PID 1 must not end before.
  while :; do sleep 60; done
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -sfn /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+cpu +memory +pids' > /sys/fs/cgroup/cgroup.subtree_control
# The scratch disk has the only directories that can be written to and last.
mount /dev/vdb /scratch
mkdir -p /scratch/home
mkdir -m 1777 /scratch/tmp
mount --bind /scratch/tmp /tmp
export HOME=/scratch/home
ip link set lo up
# Guests inside translate two levels of addresses in software: large pages save one step in four.
for each in enabled shmem_enabled; do echo always > /sys/kernel/mm/transparent_hugepage/$each; done

# The kernel measures the time stamp counter once more before it makes it its clock. KVM must not be loaded before:
# it would keep the first measurement, and guests would hang.
await 'steady clock' 'grep -qx tsc /sys/devices/system/clocksource/clocksource0/current_clocksource'
modprobe kvm-amd
modprobe loop
await /dev/kvm '[ -c /dev/kvm ]'
# As udev would: QEMU runs as a user of its own in the group of the device.
chgrp kvm /dev/kvm
chmod 0660 /dev/kvm
await 'connection to the host' '[ -c /dev/vport*p1 ] && [ -c /dev/vport*p2 ]'
# Where the host reads what the job writes, and how it ended. Which number comes first depends on the order of the devices.
output=$(echo /dev/vport*p1)
result=$(echo /dev/vport*p2)

# The emulator's processors are threads that race in two ways, both of which broke a run in some tens before:
#
# Whichever of them restores the state of a floating-point unit rewrites a word of the first one's own state, without a
# lock (cpu_clear_ignne() in QEMU's fpu_helper.c). Where that one left a guest at the same moment, it is taken to be in
# the guest still: then the guest is given the registers of its host, and goes round for ever. So no guest runs there.
taskset -p -c 1,2 $$ > /dev/null || { say 'no processors for guests'; turn_off; }

# And one may keep a translation of code that another one is just changing. The kernel changes its own when the first
# virtual machine comes and when the last one goes, and likewise with groups that have a share of the processors; then it
# panics at a breakpoint that is no longer there. So one of each is there from the beginning to the end: a machine with a
# local APIC that nobody has switched on, and a group.
mkdir /sys/fs/cgroup/steady
echo '50000 100000' > /sys/fs/cgroup/steady/cpu.max
python3 -c '
import fcntl, signal
KVM_CREATE_VM, KVM_CREATE_IRQCHIP, KVM_CREATE_VCPU = 0xAE01, 0xAE60, 0xAE41
kvm = open("/dev/kvm", "r+b", buffering=0)
machine = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
fcntl.ioctl(machine, KVM_CREATE_IRQCHIP, 0)
fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
open("/run/steady", "w")
signal.pause()
' &
await 'machine that stays' '[ -e /run/steady ]'

say 'starts the job'
cd /lab
setsid --wait sh /lab/job.sh < /dev/null > $output 2>&1
code=$?
say "the job ended with $code"
echo "exit $code" > $result
turn_off
