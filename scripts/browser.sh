#!/usr/bin/env bash
# browser.sh [STEP...]: the dashboard in headless Chromium (web/e2e), against bin/roamlb and
# real packets, in a network namespace where daemon, clients and backends are.
# With arguments only the steps that have one of them in their name, and the few
# that these need. Needs Node, Chromium, "make build" and root or a user namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1-} != inside ]]; then
	(cd web && npm run --silent build:e2e)
	user=(--map-root-user)
	((EUID)) || user=()
	exec unshare "${user[@]}" --net --kill-child "$0" inside "$@"
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Listeners, backends and clients are all on this host, which counts too.
ip link set lo up
for prefix in 192.0.2.0/24 198.51.100.0/24 198.18.0.0/15; do
	ip route add local "$prefix" dev lo
done

# What Chromium wants to keep goes with the directory.
export HOME=$dir TMPDIR=$dir ROAMLB_BIN=$PWD/bin/roamlb
node web/e2e/build/e2e/main.js "$dir" "${@:2}"
