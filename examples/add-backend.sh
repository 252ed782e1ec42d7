#!/bin/sh
# add-backend.sh SERVICE NAME ADDRESS PORT [WEIGHT]
#
# Adds a backend to a service of a running roamlb, and waits until it has taken
# its share of the ring. Done again, it does nothing: a backend that is there
# stays as it is. Needs curl. ROAMLB_SOCKET says where the daemon's socket is.
set -eu

[ $# -ge 4 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
service=$1 name=$2 address=$3 port=$4 weight=${5:-1}
base=http://localhost/v1/services/$service

api() {
	curl -sS --fail-with-body --unix-socket "${ROAMLB_SOCKET:-/run/roamlb/roamlb.sock}" \
		-H 'Content-Type: application/json' "$@"
}

if api "$base/backends/$name" >/dev/null 2>&1; then
	echo "backend $name of service $service is there already"
	exit 0
fi

# If-None-Match: create it, and change nothing should somebody have been faster.
api -X PUT -H 'If-None-Match: *' "$base/backends/$name" \
	-d "{\"name\": \"$name\", \"address\": \"$address\", \"port\": $port, \"weight\": $weight}" >/dev/null
echo "backend $name of service $service was added; the ring now:"
api "$base/ring"
echo
