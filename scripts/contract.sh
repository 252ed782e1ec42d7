#!/usr/bin/env bash
# contract.sh: fails when openapi/openapi.yaml breaks what openapi/published.yaml
# promises to clients, unless the major version in info.version has risen.
# "contract.sh publish" makes it the published one: a release does.
set -euo pipefail
cd "$(dirname "$0")/../openapi"

oasdiff() { go tool -modfile=../tools/go.mod oasdiff "$@"; }

# major FILE prints the major version of a description.
major() {
	local version
	version=$(sed -n '/^info:/,/^[a-z]*:$/s/^  version: *\([0-9]*\)\..*/\1/p' "$1")
	[[ $version ]] || { echo "$1 has no info.version" >&2 && return 1; }
	echo "$version"
}

# breaks FILE compares a description with the published one and prints what
# breaks. It succeeds where something does.
breaks() {
	local status=0
	oasdiff breaking --fail-on ERR published.yaml "$1" || status=$?
	((status <= 1)) || exit "$status"
	((status == 1))
}

# A gate that lets everything through looks like one that has found nothing: an
# operation less must be found.
gate_works() {
	local less
	less=$(mktemp --suffix=.yaml)
	sed '/^  \/v1\/version:$/,/^$/d' published.yaml >"$less"
	breaks "$less" >/dev/null && rm "$less" && return
	rm "$less"
	echo 'oasdiff does not find that GET /v1/version is gone' >&2
	return 1
}

case ${1:-check} in
publish)
	cp openapi.yaml published.yaml
	;;
check)
	gate_works
	have=$(major published.yaml) want=$(major openapi.yaml)
	if ! breaks openapi.yaml; then
		echo "openapi.yaml keeps what version $have promises"
	elif ((want > have)); then
		echo "openapi.yaml breaks version $have, and is version $want"
	else
		echo "openapi.yaml breaks version $have: take the change back, or raise the major version in info.version" >&2
		exit 1
	fi
	;;
*)
	echo "usage: $0 [check|publish]" >&2
	exit 2
	;;
esac
