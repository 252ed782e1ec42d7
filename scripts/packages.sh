#!/usr/bin/env bash
# packages.sh: installs the Debian packages that .ci/run needs and that are
# missing. Go comes from elsewhere: Debian's is too old.
set -euo pipefail

packages=(
	gcc libc6-dev make git          # make test
	nftables conntrack iproute2     # the tests' oracles
	keepalived                      # the pair of docs/integration.md
	curl                            # the tour of docs/api.md
	chromium fonts-dejavu-core      # make test-browser
	shellcheck                      # make lint
	qemu-system-x86 busybox-static cpio kmod xz-utils # make test-vm
	systemd rpm rpm2cpio procps # make test-package
)

# Debian 13 has a Node that is new enough; whoever has one keeps it.
command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm) # make web

sudo=()
((EUID == 0)) || sudo=(sudo)

# stock-kernel.sh needs fresh lists too, to find the newest kernel.
"${sudo[@]}" apt-get update -qq || echo 'apt-get update failed: going on with the lists there are' >&2

missing=()
for package in "${packages[@]}"; do
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
echo "missing: ${missing[*]:-none}"
if ((${#missing[@]})); then
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi

# promtool alone: the package that it comes in starts a server.
if ! command -v promtool >/dev/null; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg-deb -x prometheus_*.deb .)
	"${sudo[@]}" install "$dir/usr/bin/promtool" /usr/local/bin/promtool
fi
