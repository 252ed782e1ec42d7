#!/bin/sh
# stock-kernel-init.sh: process 1 in the initial RAM disk that stock-kernel.sh
# packs. It puts the host's root, read-only, under an overlay in memory and goes
# on with the job that the host left in the share "job".
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
# What is built into the kernel has no module to load: no message, no failure.
for module in virtio_pci 9pnet_virtio 9p overlay; do
	modprobe -q "$module"
done

mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 host /host
mount -t tmpfs -o size=70% memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root

for dir in dev proc sys run tmp lib/modules; do
	mkdir -p "/root/$dir"
done
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t tmpfs run /root/run
mkdir /root/run/job
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none job /root/run/job

# The job stays process 1: the kernel starts modprobe in the root of process 1,
# so modules are loaded on demand as on an ordinary machine.
exec switch_root /root /bin/bash /run/job/job
