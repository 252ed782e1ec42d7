#!/usr/bin/env bash
# life.sh: takes a service through its life with the client of web/test, against
# bin/roamlb, in a network namespace with a client that sends and backends that
# answer. Needs Node, "make build" and root or a user namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1-} != inside ]]; then
	(cd web && npm run --silent build:test)
	user=(--map-root-user)
	((EUID)) || user=()
	exec unshare "${user[@]}" --net --kill-child "$0" inside
fi

dir=$(mktemp -d)
running=()
finish() {
	local status=$?
	((status == 0)) || sed 's/^/# /' "$dir/log" >&2
	((${#running[@]} == 0)) || kill "${running[@]}" 2>/dev/null || true
	wait
	rm -rf "$dir"
}
trap finish EXIT

# Clients, listener and backends are all on this host, which counts too.
ip link set lo up
for address in 192.0.2.10 198.51.100.1 198.51.100.2 198.51.100.3; do
	ip address add "$address/32" dev lo
done

cat >"$dir/roamlb.yaml" <<-END
	api: {listen: "127.0.0.1:7070", socket: $dir/roamlb.sock}
	state: $dir/state.json
END
./bin/roamlb serve --config "$dir/roamlb.yaml" >"$dir/log" 2>&1 &
running+=($!)

export ROAMLB_URL=http://127.0.0.1:7070 ROAMLB_KEY=5e55101dca11ab1e
for ((i = 0; ; i++)); do
	curl -sf -o "$dir/ready" "$ROAMLB_URL/readyz" && break
	((i < 300)) || { echo 'the daemon is not ready after 30 s' >&2; exit 1; }
	kill -0 "${running[0]}" 2>/dev/null || { echo 'the daemon has ended' >&2; exit 1; }
	sleep 0.1
done
ROAMLB_TOKEN=$(grep -o 'rlb_[0-9A-Za-z_-]*' "$dir/log" | head -n 1)
export ROAMLB_TOKEN

node web/test/build/traffic.js &
running+=($!)
node web/test/build/life.js
