#!/usr/bin/env bash
# A throw-away cluster of members to try p11ha on: SoftHSM tokens behind a module that can be told to fail.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: cluster.sh up DIR [--local M] [--remote N] [--label L] [--pin P] [--so-pin P]
       cluster.sh fail|heal DIR K
       cluster.sh status DIR
       cluster.sh down DIR

up      makes M members in DIR (3), each a fresh, empty SoftHSM token, a group L ("demo") over them, and DIR/env, which
        is to be sourced by whoever wants to use it. PIN 12345678, SO PIN 87654321.
fail    member K answers CKR_DEVICE_ERROR to everything, in each process that uses the cluster and in those that start
        later; in force when the command ends
heal    member K works again
status  the members and how they are
down    ends the cluster and removes what up made

P11HA_BUILD names the build directory to use (build/release of this source tree).
TEXT
}

misused() {
  printf 'cluster.sh: %s\n' "$1" >&2
  exit 2
}

failed() {
  printf 'cluster.sh: %s\n' "$1" >&2
  exit 1
}

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_dir=$(realpath -m -- "${P11HA_BUILD:-$source_dir/build/release}")
softhsm=${P11HA_FAILING_MODULE:-/usr/lib/softhsm/libsofthsm2.so}
# All that a cluster consists of; nothing else in DIR is ever touched.
own_names=(cluster env Chrystoki.conf softhsm2.conf tokens log failing)

# quoted TEXT: as a POSIX shell reads it back.
quoted() {
  local text=${1//\'/\'\\\'\'}
  printf "'%s'" "$text"
}

in_range() {
  [[ $1 =~ ^[0-9]{1,6}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3))
}

need() {
  command -v "$1" >/dev/null || failed "$1 is missing: apt-get install $2"
}

# The file DIR/cluster has a line for each member: number, kind, serial, token label.
open_cluster() {
  [[ -f $1/cluster ]] || misused "$1 is no cluster of ours"
  dir=$(realpath -- "$1")
}

failctl() {
  local control=$dir/failing
  [[ -x $build_dir/bin/p11ha-failctl ]] || failed "$build_dir/bin/p11ha-failctl is missing: build p11ha first"
  "$build_dir/bin/p11ha-failctl" "$control" "$@"
}

# member_serial K: by its number in the cluster.
member_serial() {
  local count
  count=$(wc -l <"$dir/cluster")
  in_range "$1" 1 "$count" || misused "no member \"$1\": this cluster has 1..$count"
  awk -v k="$((10#$1))" '$1 == k { print $3 }' "$dir/cluster"
}

write_tokens() {
  local count=$1 pin=$2 so_pin=$3 k
  mkdir "$dir/tokens"
  cat >"$dir/softhsm2.conf" <<TEXT
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
TEXT
  export SOFTHSM2_CONF=$dir/softhsm2.conf
  for ((k = 1; k <= count; k++)); do
    softhsm2-util --module "$softhsm" --init-token --free --label "member$k" --pin "$pin" --so-pin "$so_pin" \
      >"$dir/failing/said" 2>&1 || failed "softhsm2-util: $(tr '\n' ' ' <"$dir/failing/said")"
  done
  rm -f "$dir/failing/said"
  softhsm2-util --module "$softhsm" --show-slots | awk -v count="$count" '
    $1 == "Serial" { serial = $3 }
    $1 == "Label:" && sub(/^member/, "", $2) { serials[$2 + 0] = serial }
    END { for (k = 1; k <= count; k++) print k, "local", serials[k], "member" k }' >"$dir/cluster.new"
}

write_configuration() {
  local label=$1 serials=() digit first_sn
  mapfile -t serials < <(awk '{ print $3 }' "$dir/cluster.new")
  # 16 characters is all that the serial number of a token has room for; a member may have that one already.
  for digit in {1..9}; do
    first_sn=$digit${serials[0]}
    ((${#serials[0]} < 16)) || first_sn=$digit${serials[0]: -15}
    [[ " ${serials[*]} " == *" $first_sn "* ]] || break
  done
  cat >"$dir/Chrystoki.conf" <<TEXT
VirtualToken = {
   VirtualToken00Label = $label;
   VirtualToken00SN = $first_sn;
   VirtualToken00Members = $(printf '%s, ' "${serials[@]}" | sed 's/, $//');
   VirtualTokenActiveRecovery = activeEnhanced;
}
HASynchronize = {
   $label = 1;
}
HAConfiguration = {
   HAOnly = 1;
   reconnAtt = -1;
   AutoReconnectInterval = 1;
   haLogPath = $dir/log;
   haLogStatus = enabled;
   logLen = 262144;
}
p11ha = {
   Module00Path = $build_dir/lib/p11ha-failing.so;
   CloningPolicy = user;
}
TEXT
}

write_env() {
  local label=$1 pin=$2 so_pin=$3 k kind serial name
  variable() { printf 'export %s=%s\n' "$1" "$(quoted "$2")"; }
  {
    variable ChrystokiConfigurationPath "$dir"
    variable SOFTHSM2_CONF "$dir/softhsm2.conf"
    variable P11HA_BUILD "$build_dir"
    variable P11HA_MODULE "$build_dir/lib/libp11ha.so"
    variable P11HA_LABEL "$label"
    variable P11HA_PIN "$pin"
    variable P11HA_SO_PIN "$so_pin"
    variable P11HA_LOG "$dir/log/haErrorLog.txt"
    variable P11HA_FAILING_MODULE "$softhsm"
    variable P11HA_FAILING_CONTROL "$dir/failing"
    variable P11HA_MEMBERS "$(wc -l <"$dir/cluster.new")"
    while read -r k kind serial name; do
      variable "P11HA_MEMBER_$k" "$serial"
    done <"$dir/cluster.new"
    printf 'unset P11HA_CONF\n'
  } >"$dir/env"
}

check_label() {
  local length
  length=$(printf %s "$1" | wc -c)
  ((length >= 1 && length <= 32)) || misused "a label has 1 to 32 bytes"
  # shellcheck disable=SC1003 # a lone backslash, not an escaped quote
  [[ $1 != *[$'\n\t\r;={},\'"#\\']* && $1 != *//* && $1 != ' '* && $1 != *' ' ]] ||
    misused "label \"$1\": the configuration file cannot hold it"
}

check_pin() {
  local length
  length=$(printf %s "$2" | wc -c)
  ((length >= 4 && length <= 255)) || misused "$1: SoftHSM wants 4 to 255 bytes"
  [[ $2 != *$'\n'* ]] || misused "$1: a line break cannot be part of it"
}

up() {
  local count=3 label=demo pin=12345678 so_pin=87654321
  [[ $# -ge 1 && $1 != -* ]] || misused "up: which DIR?"
  local wanted=$1
  shift
  while (($#)); do
    case $1 in
      --local | --remote | --label | --pin | --so-pin) (($# >= 2)) || misused "$1: its value is missing" ;;
      *) misused "up: \"$1\" is no option" ;;
    esac
    case $1 in
      --local)
        in_range "$2" 1 32 || misused "--local: a group has 1 to 32 members"
        count=$((10#$2))
        ;;
      --remote) misused "--remote: there are no remote members yet (they come with \"Remote members\")" ;;
      --label) label=$2 ;;
      --pin) pin=$2 ;;
      --so-pin) so_pin=$2 ;;
    esac
    shift 2
  done
  check_label "$label"
  check_pin --pin "$pin"
  check_pin --so-pin "$so_pin"
  need softhsm2-util softhsm2
  need pkcs11-tool opensc
  [[ -e $softhsm ]] || failed "$softhsm is missing: apt-get install softhsm2"
  [[ -e $build_dir/lib/p11ha-failing.so ]] || failed "$build_dir/lib/p11ha-failing.so is missing: build p11ha first"

  mkdir -p -- "$wanted"
  dir=$(realpath -- "$wanted")
  [[ $dir != *[$'\n;{}']* ]] || misused "$dir: the configuration file cannot hold this path"
  local name
  for name in "${own_names[@]}"; do
    [[ ! -e $dir/$name ]] || misused "$wanted holds \"$name\" already: is it a cluster? (cluster.sh down $wanted)"
  done
  trap remove_cluster EXIT
  mkdir -m 700 "$dir/failing" "$dir/log"
  write_tokens "$count" "$pin" "$so_pin"
  write_configuration "$label"
  (umask 077 && write_env "$label" "$pin" "$so_pin")
  mv "$dir/cluster.new" "$dir/cluster"
  trap - EXIT
}

remove_cluster() {
  rm -f -- "$dir/cluster.new"
  local name
  for name in "${own_names[@]}"; do rm -rf -- "${dir:?}/$name"; done
  rmdir -- "$dir" 2>/dev/null || true
}

status() {
  local k kind serial name rules state
  {
    printf 'member|kind|serial|token label|state\n'
    while read -r k kind serial name; do
      state=ok
      rules=$(failctl rules "serial:$serial" </dev/null)
      [[ -z $rules ]] || state=failing
      printf '%s|%s|%s|%s|%s\n' "$k" "$kind" "$serial" "$name" "$state"
    done <"$dir/cluster"
  } | awk -F'|' '{ printf "%-6s  %-6s  %-16s  %-11s  %s\n", $1, $2, $3, $4, $5 }'
}

command=${1:-}
case $command in
  --help | -h)
    usage
    exit 0
    ;;
  up)
    shift
    up "$@"
    ;;
  fail | heal)
    (($# == 3)) || misused "$command: wants DIR and K"
    open_cluster "$2"
    serial=$(member_serial "$3")
    if [[ $command == fail ]]; then
      failctl fail "serial:$serial" '*' CKR_DEVICE_ERROR
    else
      failctl heal "serial:$serial"
    fi
    ;;
  status | down)
    (($# == 2)) || misused "$command: wants DIR"
    open_cluster "$2"
    if [[ $command == status ]]; then status; else remove_cluster; fi
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
