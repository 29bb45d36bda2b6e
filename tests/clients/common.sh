# What the scripts beside it share: a plain SoftHSM token ("direct") and a group ("group"), each client step run on both, and
# what was said compared. The group is of three local members, or P11HA_MEMBERS says which: "mixed" a local and two remote
# ones, "remote" a remote one, which is not made to fail. To be sourced.
# shellcheck shell=bash
set -euo pipefail
# Nothing ever comes from it: to wait for a moment costs no process, thousands of which confuse the shell.
exec {never}<> <(:)

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
client=$(basename "$0" .sh)
long=false
case "$*" in
  '') ;;
  --long) long=true ;;
  *)
    printf 'usage: %s [--long]\n' "$(basename "$0")" >&2
    exit 2
    ;;
esac

export LC_ALL=C.UTF-8 TZ=UTC P11HA_BUILD=${P11HA_BUILD:-$source_dir/build/release}
members=${P11HA_MEMBERS:-local}
case $members in
  local) cluster_members=() ;;
  mixed) cluster_members=(--local 1 --remote 2) ;;
  remote) cluster_members=(--remote 1) ;;
  *)
    printf 'P11HA_MEMBERS is local, mixed or remote\n' >&2
    exit 2
    ;;
esac
softhsm=/usr/lib/softhsm/libsofthsm2.so
label=demo
pin=12345678
so_pin=87654321

failed() {
  printf '%s: %s\n' "$client" "$*" >&2
  exit 1
}

# need COMMAND PACKAGE: what is missing fails the test; it is never skipped.
need() {
  [[ -e $1 ]] || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || failed "$1 is missing: apt-get install $2"
}
export PATH=$PATH:/usr/sbin:/sbin

need softhsm2-util softhsm2
need pkcs11-tool opensc
need openssl openssl
need python3 python3
need pgrep procps

folder=$(mktemp -d)
pids=$folder/pids
: >"$pids"

cluster() { "$source_dir/testbed/cluster.sh" "$@" 3>&- 8>&-; }
# Ends the daemons; what is there is removed, or kept, as everything else.
# shellcheck disable=SC2317 # called by the trap
cluster_down() {
  local process
  for process in $(cluster pids "$folder/group"); do kill -KILL "$process" 2>/dev/null || true; done
}

# background COMMAND...: with the standard input given; its pid is in $!, and it ends with the script at the latest. (A function
# must exec what it runs.)
background() {
  "$@" <&0 3>&- 8>&- &
  printf '%d\n' $! >>"$pids"
}

# ended PID: ends it, if it still runs, and waits until it is gone.
ended() {
  kill "$1" 2>/dev/null || true
  wait_for 20 gone "$1"
}
gone() { ! kill -0 "$1" 2>/dev/null || [[ $(ps -o stat= -p "$1") == Z* ]]; }

# shellcheck disable=SC2317 # called by the trap
finish() {
  local status=$? pid
  while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$pids"
  while read -r pid; do await 20 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true; done <"$pids"
  [[ ! -e $folder/group/cluster ]] || cluster_down
  if [[ -n ${P11HA_KEEP:-} ]]; then
    printf 'kept: %s\n' "$folder"
  else
    rm -rf "$folder"
  fi
  exit "$status"
}
trap finish EXIT

# await SECONDS COMMAND...: until it succeeds; false where it does not.
await() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS <= until)) || return 1
    read -r -t 0.02 -u "$never" || true
  done
}
wait_for() { await "$@" || failed "gave up waiting for: ${*:2}"; }

make_direct() { # a token of the same label and PINs as the group
  mkdir -p "$folder/direct/tokens"
  printf '%s\n' "directories.tokendir = $folder/direct/tokens" 'objectstore.backend = file' 'log.level = ERROR' \
    'slots.removable = false' 'library.reset_on_fork = true' >"$folder/direct/softhsm2.conf"
  SOFTHSM2_CONF=$folder/direct/softhsm2.conf softhsm2-util --init-token --free --label "$label" --pin "$pin" \
    --so-pin "$so_pin" >/dev/null
}

# enter SIDE: the environment in which a client finds that side's token, in a directory of its own.
enter() {
  side=$1
  work=$folder/$side/work
  mkdir -p "$work"
  cd "$work"
  if [[ $side == direct ]]; then
    export SOFTHSM2_CONF=$folder/direct/softhsm2.conf
    module=$softhsm
  else
    # shellcheck disable=SC1091
    source "$folder/group/env"
    module=$P11HA_MODULE
  fi
  [[ -z ${P11HA_SPY:-} ]] || {
    export PKCS11SPY=$module PKCS11SPY_OUTPUT=$folder/$side/spy
    module=/usr/lib/x86_64-linux-gnu/pkcs11-spy.so
  }
}

# entered SIDE FUNCTION: runs it there, in a shell of its own that ends at the first command that fails; its status is in
# $status. (As part of a condition it would go on.)
entered() {
  set +e
  (
    set -e
    enter "$1"
    "$2"
  )
  status=$?
  set -e
}

# on_both FUNCTION: runs it for each side; it uses step and attempt. What they said must be the same.
on_both() {
  local side status
  make_direct
  cluster up "$folder/group" "${cluster_members[@]}" --label "$label" --pin "$pin" --so-pin "$so_pin"
  for side in direct group; do
    entered "$side" "$1" 3>"$folder/$side/said"
    ((status == 0)) || failed "$side: gave up (status $status)"
    normalised "$side" <"$folder/$side/said" >"$folder/$side/normalised"
  done
  diff --unified=5 --label direct --label group "$folder/direct/normalised" "$folder/group/normalised" ||
    failed "group and direct differ"
  ! logged 'has dropped member' || failed "a member was dropped: $(grep 'has dropped member' "$folder/group/log/haErrorLog.txt")"
  printf '%s: %d steps, the same on both sides\n' "$client" "$(grep -c '^-> ' "$folder/group/said")"
}

# in_group FUNCTION: runs it on the group only, after on_both; there members may fail.
in_group() {
  local status
  [[ $members != remote ]] || return 0
  entered group "$1" 3>/dev/null
  ((status == 0)) || failed "group: gave up (status $status)"
}

# Rules, in sed -E, for what may differ; each script adds its own, with the reason.
rules=()
normalised() {
  local arguments=() rule
  for rule in "${rules[@]}"; do arguments+=(-e "$rule"); done
  sed -E -e "s|$folder/$1/work|WORK|g" -e "s|$softhsm\|$P11HA_BUILD/lib/libp11ha.so|MODULE|g" "${arguments[@]}"
}

# step NAME COMMAND...: must succeed, and say the same on both sides.
step() {
  attempt "$@"
  ((attempted == 0)) || {
    printf -- '%s: %s: "%s" failed (status %d):\n' "$client" "$side" "$1" "$attempted" >&2
    tail -n 20 "$folder/$side/last" >&2
    exit 1
  }
}

# attempt NAME COMMAND...: may fail, but then on both sides in the same way.
attempt() {
  printf '\n-- %s\n' "$1" >&3
  attempted=0
  { "${@:2}" 3>&-; } >"$folder/$side/last" 2>&1 || attempted=$?
  cat "$folder/$side/last" >&3
  printf -- '-> %d\n' "$attempted" >&3
}

# hex FILE: in one line.
hex() { od -An -v -tx1 "$1" | tr -d ' \n' && echo; }

# in_order START: sorts what is read by blocks, each from a line that matches START to the next; a token gives its objects in
# no particular order. What may differ is not sorted by.
in_order() {
  normalised "$side" | awk -v start="$1" '
    $0 ~ start && NR > 1 { print block; block = "" }
    { block = block (block == "" ? "" : "\001") $0 }
    END { if (block != "") print block }' | sort | tr '\001' '\n'
}

# openssl req succeeds whatever it finds.
request_verifies() { openssl req -in "$1" -noout -verify 2>&1 | tee /dev/stderr | grep -q 'verify OK'; }

# The HA log of the group.
logged() { grep -q -- "$1" "$folder/group/log/haErrorLog.txt"; }
