# What the scripts share that try something out on members of their own: options, a folder that goes when the script ends,
# a cluster in it, and waiting. To be sourced by one that has usage().
# shellcheck shell=bash
set -euo pipefail
# Nothing ever comes from it: to wait for a moment costs no process, thousands of which confuse the shell.
exec {never}<> <(:)

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${P11HA_BUILD:-$source_dir/build/release}
export P11HA_BUILD=$build

failed() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

misused() {
  usage >&2
  exit 2
}

# take_options "SWITCH..." "NAME..." ARGUMENT...: --SWITCH makes the variable of that name 1, --NAME VALUE that value.
take_options() {
  local switches=" $1 " names=" $2 " option
  shift 2
  while (($#)); do
    [[ $1 != --help && $1 != -h ]] || {
      usage
      exit 0
    }
    [[ $1 == --+([a-z-]) ]] || misused
    option=${1#--}
    if [[ $switches == *" $option "* ]]; then
      printf -v "${option//-/_}" 1
    elif [[ $names == *" $option "* ]] && (($# >= 2)); then
      printf -v "${option//-/_}" %s "$2"
      shift
    else
      misused
    fi
    shift
  done
}

# make_folder NAME: `folder`. With it go the clusters in it and what the script runs in the background; before_end, which the
# script may have, comes first.
make_folder() {
  folder=$(mktemp -d "${TMPDIR:-/tmp}/p11ha-$1-XXXXXX")
  trap finish EXIT
}
# shellcheck disable=SC2317 # called by the trap
finish() {
  local each
  ! declare -F before_end >/dev/null || before_end
  for each in $(jobs -pr); do kill "$each" 2>/dev/null || true; done
  for each in "$folder"/*/cluster; do
    [[ ! -e $each ]] || "$source_dir/testbed/cluster.sh" down "${each%/cluster}" >/dev/null || true
  done
  rm -rf -- "$folder"
}

# cluster COMMAND [K]: a daemon that it starts must not keep a reader of the script's pipes waiting for more.
cluster() { "$source_dir/testbed/cluster.sh" "$1" "$folder/cluster" "${@:2}" 8>&- 9>&-; }
# make_cluster OPTION...
make_cluster() {
  cluster up "$@"
  # shellcheck disable=SC1091
  source "$folder/cluster/env"
}

rest() { read -r -t "$1" -u "$never" || true; }
# Fails where there is nothing to wait for any more; a script may have its own.
look_after() { :; }
# await SECONDS COMMAND...: until it succeeds; false where it does not.
await() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    look_after
    ((SECONDS <= until)) || return 1
    rest 0.02
  done
}
wait_for() { await "$@" || failed "gave up waiting for: ${*:2}"; }
