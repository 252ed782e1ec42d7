#!/usr/bin/env bash
# stock-kernel.sh [-k PACKAGE] [-m MIB] [-t SECONDS] [-s] [--] COMMAND [ARG...]
#
# Runs COMMAND as root under an unmodified Debian kernel in QEMU, in the current
# directory, on top of this machine's file system, which stays as it is: what
# the guest writes goes to memory. The output of COMMAND comes out here, and its
# exit status is this script's own. CI and the variables that begin with ROAMLB_
# reach COMMAND; others do not.
#
#   -k PACKAGE  the package that holds the kernel, or a version such as 6.1
#               (default linux-image-6.12-amd64)
#   -m MIB      the guest's memory (default 4096)
#   -t SECONDS  stop the guest after this time, with status 124 (default 900)
#   -s          boot this machine's systemd, and run COMMAND as a service of it
#
# Needs Debian on amd64 with qemu-system-x86, busybox-static, cpio,
# kmod, xz-utils, and `apt-get update` done. The kernel is kept in
# $ROAMLB_VM_CACHE, by default ~/.cache/roamlb-vm.
#
# The processor is emulated in software, even where /dev/kvm exists: virtual
# machines offer one that then refuses to work. So the guest is about ten times
# slower than the host: compile outside, run inside.
set -euo pipefail

package=linux-image-6.12-amd64 memory=4096 limit=900 systemd=
usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0" >&2; exit 2; }
die() { echo "stock-kernel.sh: $*" >&2; exit 1; }

while getopts k:m:t:s option; do
	case $option in
	k) package=$OPTARG ;;
	m) memory=$OPTARG ;;
	t) limit=$OPTARG ;;
	s) systemd=/lib/systemd/systemd ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[[ $# -gt 0 ]] || usage

missing=
for tool in apt-get:apt qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod xz:xz-utils; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${tool%%:*}" >/dev/null || missing+=" ${tool##*:}"
done
[[ -z $missing ]] || die "missing:$missing (apt-get install$missing)"
export PATH=$PATH:/usr/sbin:/sbin

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT

# fetch_kernel leaves the newest kernel that $package stands for, unpacked, in
# $kernel. The package is the kernel's, or an empty one that depends on it.
fetch_kernel() {
	local name cache=${ROAMLB_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/roamlb-vm}
	if [[ $package =~ ^[0-9]+\.[0-9]+$ ]]; then
		name=$(apt-cache pkgnames "linux-image-$package." | grep -E -- '[0-9]-amd64$' | sort -V | tail -n 1)
		[[ $name ]] || die "no package has Linux $package (apt-get update?)"
		package=$name
	fi
	name=$(apt-cache depends "$package" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p;T;q')
	name=${name:-$package}
	kernel=$cache/$name
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9 # of two that start at once, one downloads
	if [[ ! -d $kernel ]]; then
		echo "stock-kernel.sh: fetching $name" >&2
		mkdir "$run/deb"
		(cd "$run/deb" && apt-get -qq -o APT::Sandbox::User=root download "$name" >&2) ||
			die "cannot download $name (apt-get update? another package, with -k?)"
		rm -rf "$kernel.part"
		dpkg-deb -x "$run"/deb/*.deb "$kernel.part"
		depmod -b "$kernel.part" "$(ls "$kernel.part/lib/modules")"
		mv "$kernel.part" "$kernel"
	fi
	exec 9>&-
	version=$(ls "$kernel/lib/modules")
}

# pack_initrd writes $run/initrd.gz: busybox, stock-kernel-init.sh and the
# modules it takes to mount the host's file system.
pack_initrd() {
	local init root=$run/initrd module file applet
	init=$(dirname "$(readlink -f "$0")")/stock-kernel-init.sh
	local modules=lib/modules/$version
	mkdir -p "$root"/{bin,dev,proc,sys,host,memory,root,"$modules"}
	install -m 755 "$init" "$root/init"
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in sh mount mkdir modprobe switch_root; do
		ln -s busybox "$root/bin/$applet"
	done
	cp "$kernel/$modules"/modules.{builtin,builtin.modinfo,order} "$root/$modules/"
	for module in netfs fscache 9pnet 9p 9pnet_virtio overlay \
		virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev; do
		file=$(find "$kernel/$modules" -name "$module.ko*" -print -quit)
		[[ -n $file ]] || continue # built in
		cp "$file" "$root/$modules/"
		[[ $file != *.xz ]] || xz -d "$root/$modules/${file##*/}"
	done
	depmod -b "$root" "$version"
	(cd "$root" && find . | cpio --quiet -o -H newc) | gzip -1 >"$run/initrd.gz"
}

# write_job writes the script that the guest runs as process 1, and the command
# that comes of it. The command has a serial port of its own, apart from the
# kernel's messages.
write_job() {
	local name
	mkdir "$run/job"
	{
		echo 'export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
		for name in $(compgen -e | grep -xE 'CI|ROAMLB_.*'); do
			printf 'export %s=%q\n' "$name" "${!name}"
		done
		printf 'cd %q\n' "$PWD"
		echo 'ip link set lo up'
		# Whenever the first hook of its kind comes anywhere, or the last goes, the
		# kernel patches its code, and an emulated processor may execute half a patch:
		# a panic in NF_HOOK or ip6_input, within 50 times with pings beside. With
		# hooks that stay there was none in 400 times.
		echo 'ip netns add hooks && ip netns exec hooks nft -f /run/job/hooks'
		echo 'stty -F /dev/ttyS1 raw'
		printf '(exec '; printf '%q ' "$@"; echo ') </dev/null >/dev/ttyS1 2>&1'
		echo 'echo $? >/run/job/status'
		echo 'echo b >/proc/sysrq-trigger' # QEMU ends at a reboot
		echo 'sleep infinity'
	} >"$run/job/command"
	for name in prerouting input forward output postrouting; do
		echo "add table inet hooks; add chain inet hooks $name { type filter hook $name priority 0; }"
	done >"$run/job/hooks"
	{
		printf 'mount --bind %q /lib/modules\n' "$kernel/lib/modules"
		if [[ $systemd ]]; then
			echo ': >/etc/fstab' # this machine's disks are not the guest's
			echo 'rm -f /usr/sbin/policy-rc.d' # which keeps services from starting in a container
			echo 'mkdir -p /run/systemd/system'
			# What would clear /tmp, where the work tree may be, and what takes long.
			for name in tmpfiles-setup.service tmpfiles-clean.timer hwdb-update.service; do
				echo "ln -s /dev/null /run/systemd/system/systemd-$name"
			done
			echo 'cp /run/job/job.service /run/systemd/system/'
			echo "exec $systemd --unit=job.service"
		fi
		echo '. /run/job/command'
	} >"$run/job/job"
	cat >"$run/job/job.service" <<-END
		[Service]
		Type=oneshot
		ExecStart=/bin/bash /run/job/command
		TimeoutStartSec=infinity
	END
}

[[ -z $systemd || -x $systemd ]] || die 'missing: systemd (apt-get install systemd)'
fetch_kernel
pack_initrd
write_job "$@"

started=0
timeout -k 5 "$limit" qemu-system-x86_64 \
	-accel tcg,thread=multi -cpu max -smp 2 -m "$memory" -no-reboot -nic none \
	-display none -monitor none -serial "file:$run/console" -serial stdio \
	-kernel "$kernel/boot/vmlinuz-$version" -initrd "$run/initrd.gz" \
	-append 'console=ttyS0 quiet panic=-1 mitigations=off' \
	-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
	-virtfs local,path="$run/job",mount_tag=job,security_model=none \
	</dev/null || started=$?

if [[ -s $run/job/status ]]; then
	exit "$(<"$run/job/status")"
fi
echo "stock-kernel.sh: the guest ended without a result; its messages, from the first that tells of a fault or the last 30:" >&2
{ grep -m 1 -A 60 -E 'BUG:|Oops|int3:|Kernel panic' "$run/console" || tail -n 30 "$run/console"; } >&2 || true
((started)) || started=1
exit "$started"
