#!/bin/sh
# PID 1 of the outer guest, in its root file system. All that it does comes from the shared disk, so that a change of
# that needs no new root.
export PATH=/usr/bin:/usr/sbin
mount -t devtmpfs devtmpfs /dev
modprobe virtio_blk
mount -o ro /dev/vda /lab
exec sh /lab/init.sh
