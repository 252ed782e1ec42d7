#!/usr/bin/env bash
# screenshots.sh DIRECTORY: pictures of every page of the dashboard, at three widths
# and in both themes, made from "roamlb demo --keep". Takes some minutes. Needs
# Node, Chromium, and "make build". Those that the documents show are copied from
# there to docs/images by hand, once somebody has looked at them.
set -euo pipefail
into=$(realpath -m "${1:?usage: screenshots.sh DIRECTORY}")
cd "$(dirname "$0")/.."

(cd web && npm run --silent build:e2e)
log=$(mktemp)
./bin/roamlb demo --keep >"$log" 2>&1 &
demo=$!
finish() {
	kill "$demo" 2>/dev/null || true
	wait "$demo" || true
	rm -f "$log"
}
trap finish EXIT

# The last line of what it says, once it stays up.
for ((i = 0; ; i++)); do
	grep -q 'kill -HUP' "$log" && break
	((i < 1200)) || { echo 'the demo does not stay up after two minutes' >&2; exit 1; }
	kill -0 "$demo" 2>/dev/null || { cat "$log" >&2; exit 1; }
	sleep 0.1
done
url=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$log" | head -n 1)
token=$(grep -o 'rlb_[0-9A-Za-z_-]*' "$log" | head -n 1)
node web/e2e/build/e2e/screenshots.js "$url" "$token" "$into"
echo "pictures in $into"
