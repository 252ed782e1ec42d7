#!/usr/bin/env bash
# fuzz.sh TIME [PACKAGE...]
#
# Runs every fuzz target of the packages (default ./...) for TIME each, such as
# 30s. An input that breaks one stays in the package's testdata as a seed.
set -euo pipefail

[[ $# -gt 0 ]] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
time=$1
shift
[[ $# -gt 0 ]] || set -- ./...

passed=0 failed=0

# The listing names a package's targets and then the package: "ok PACKAGE TIME".
# One that does not build counts as a failure and does not stop the others.
list=$(go test -list '^Fuzz' "$@") || failed=1
targets=$(awk '/^Fuzz/ { names[n++] = $1 }
	/^ok/ { while (n > 0) print $2, names[--n] }' <<<"$list")

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz PACKAGE NAME runs one target. Up to Go 1.26 the end of the time can be
# taken for a failure (go.dev/issue/75804): "context deadline exceeded" and no
# input that failed. Such a run says nothing, and is done again.
fuzz() {
	local try
	for try in 1 2 3; do
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" 2>&1 | tee "$log"; then
			return 0
		fi
		if ! grep -q '^ *context deadline exceeded$' "$log" || grep -qE 'Failing input|panic|--- FAIL: .*/' "$log"; then
			return 1
		fi
		echo "the end of the time was taken for a failure: try $try says nothing"
	done
	return 1
}

while read -r package name; do
	[[ -n $name ]] || continue
	printf '\n%s %s\n' "$package" "$name"
	if fuzz "$package" "$name" </dev/null; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done <<<"$targets"

printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
