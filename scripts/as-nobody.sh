#!/usr/bin/env bash
# as-nobody.sh COMMAND [ARG...]
#
# Runs COMMAND, an executable file, as the user nobody in the current directory,
# or rather in a copy of the work tree, which nobody may not be able to read. For
# anyone but root it just runs COMMAND.
set -euo pipefail

[[ $# -gt 0 ]] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
((EUID == 0)) || exec "$@"

nobody=65534
tree=$(readlink -f "$(dirname "$0")/..")
here=$(pwd -P)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

mkdir "$copy/tree" "$copy/home"
tar -C "$tree" --exclude-vcs --exclude=node_modules -c . | tar -C "$copy/tree" -x
install "$1" "$copy/${1##*/}"
chmod -R go+rX "$copy"
chown "$nobody:$nobody" "$copy/home"

cd "$copy/tree${here#"$tree"}"
[[ -z ${ROAMLB_BIN-} ]] || export ROAMLB_BIN=${ROAMLB_BIN/#"$tree"/"$copy/tree"}
HOME=$copy/home TMPDIR=/tmp \
	setpriv --reuid="$nobody" --regid="$nobody" --clear-groups --inh-caps=-all "$copy/${1##*/}" "${@:2}"
