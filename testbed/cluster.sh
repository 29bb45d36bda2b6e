#!/usr/bin/env bash
# A throw-away cluster of members to try p11ha on: SoftHSM tokens behind a module that can be told to fail, or behind
# appliances of their own.
set -euo pipefail
# Nothing ever comes from it: to wait for a moment costs no process, thousands of which confuse the shell.
exec {never}<> <(:)

usage() {
  cat <<'TEXT'
usage: cluster.sh up DIR [--local M] [--remote N] [--no-domain] [--label L] [--pin P] [--so-pin P]
       cluster.sh fail|heal DIR K
       cluster.sh kill|start|restart|pause|resume DIR K
       cluster.sh deactivate|activate|revoke|restore DIR K
       cluster.sh status|pids DIR
       cluster.sh down DIR

up       makes M local members in DIR (3, or none with --remote) and N remote ones (none), in this order, each a fresh,
         empty SoftHSM token, a group L ("demo") over them, which has a cloning domain unless --no-domain says
         otherwise, and DIR/env, which is to be sourced by whoever wants to use it. A remote member is a p11ha-memberd of
         its own on this host; certificates are made for the cluster. PIN 12345678, SO PIN 87654321.
fail     member K, a local one, answers CKR_DEVICE_ERROR to everything, in each process that uses the cluster and in
         those that start later; in force when the command ends
heal     member K works again
kill     kill -9 of the daemon of member K, a remote one, and of its workers; start starts it again, at the same port;
         restart ends it in order and starts it
pause    SIGSTOP to the daemon and its workers; resume: SIGCONT
deactivate, activate, revoke, restore
         what p11ha-memberd ctl does to the partition of member K
status   the members and how they are
pids     the processes of the daemons
down     ends the cluster and removes what up made

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
own_names=(cluster env Chrystoki.conf softhsm2.conf tokens log failing pki remote)

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

# member_of KIND K: its serial, if it is one of those.
member_of() {
  local serial kind
  serial=$(member_serial "$2")
  kind=$(awk -v k="$((10#$2))" '$1 == k { print $2 }' "$dir/cluster")
  [[ $kind == "$1" ]] || misused "member $2 is $kind"
  printf %s "$serial"
}

# softhsm_conf FOLDER: a store there.
softhsm_conf() {
  mkdir "$1/tokens"
  cat >"$1/softhsm2.conf" <<TEXT
directories.tokendir = $1/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
TEXT
}

# daemon_pid K: of the daemon, if it runs.
daemon_pid() {
  local pid file=$dir/remote/$1/pid
  [[ -s $file ]] || return 1
  pid=$(<"$file")
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$dir/remote/$1/memberd.conf" || return 1
  printf %s "$pid"
}

start_daemon() {
  local home=$dir/remote/$1 tries pid
  ! daemon_pid "$1" >/dev/null || misused "member $1 runs already"
  [[ -x $build_dir/bin/p11ha-memberd ]] || failed "$build_dir/bin/p11ha-memberd is missing: build p11ha first"
  : >"$home/said"
  # A session of its own: what is done to it is done to its workers, too.
  SOFTHSM2_CONF=$home/softhsm2.conf setsid "$build_dir/bin/p11ha-memberd" --config "$home/memberd.conf" \
    </dev/null >"$home/said" 2>&1 &
  pid=$!
  printf '%s\n' "$pid" >"$home/pid"
  for ((tries = 0; tries < 1500; tries++)); do
    ! grep -q '^port ' "$home/said" || return 0
    kill -0 "$pid" 2>/dev/null || break
    read -r -t 0.02 -u "$never" || true
  done
  failed "the daemon of member $1 does not start: $(tr '\n' ' ' <"$home/said")"
}

# await_end PID SECONDS
await_end() {
  local until=$((SECONDS + $2))
  while kill -0 "$1" 2>/dev/null && [[ $(ps -o stat= -p "$1" 2>/dev/null) != Z* ]]; do
    ((SECONDS <= until)) || return 1
    read -r -t 0.02 -u "$never" || true
  done
}

kill_daemon() {
  local pid
  pid=$(daemon_pid "$1") || return 0
  kill -KILL -- "-$pid" 2>/dev/null || true
  await_end "$pid" 10 || true
}

end_daemon() {
  local pid
  pid=$(daemon_pid "$1") || return 0
  kill -TERM "$pid"
  await_end "$pid" 30 || failed "the daemon of member $1 does not end"
}

tell_daemon() {
  "$build_dir/bin/p11ha-memberd" ctl "$dir/remote/$1/ctl" "${@:2}"
}

# write_remote K PIN SO_PIN: a store, a token and a daemon; prints the line for DIR/cluster.
write_remote() {
  local k=$1 home=$dir/remote/$1 serial port
  mkdir -m 700 "$home"
  softhsm_conf "$home"
  SOFTHSM2_CONF=$home/softhsm2.conf softhsm2-util --module "$softhsm" --init-token --free --label "member$k" --pin "$2" \
    --so-pin "$3" >"$home/said" 2>&1 || failed "softhsm2-util: $(tr '\n' ' ' <"$home/said")"
  serial=$(SOFTHSM2_CONF=$home/softhsm2.conf softhsm2-util --module "$softhsm" --show-slots |
    awk '$1 == "Serial" && $3 != "" { print $3; exit }')
  "$source_dir/testbed/pki.sh" "$dir/pki" server ca "server$k"
  cat >"$home/memberd.conf" <<TEXT
Appliance = {
   Listen = 127.0.0.1;
   Port = 0;
   ClientCAFile = $dir/pki/ca.pem;
   ServerCertFile = $dir/pki/server$k.pem;
   ServerPrivKeyFile = $dir/pki/server$k.key;
   ControlSocket = $home/ctl;
   StateFile = $home/state;
   LogFile = $home/log;
}
Modules = {
   Module00Path = $softhsm;
}
Partitions = {
   Partition00Serial = $serial;
}
Clients = {
   Client00Name = client;
   Client00Partitions = *;
}
TEXT
  start_daemon "$k"
  # From now on at this port, so that the clients' configuration stays right.
  port=$(awk '$1 == "port" { print $2 }' "$home/said")
  sed -i "s/^   Port = 0;/   Port = $port;/" "$home/memberd.conf"
  printf '%s remote %s member%s\n' "$k" "$serial" "$k" >>"$dir/cluster.new"
}

write_tokens() {
  local count=$1 pin=$2 so_pin=$3 k
  softhsm_conf "$dir"
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

# All but the group, which the manager makes.
write_configuration() {
  cat >"$dir/Chrystoki.conf" <<TEXT
HAConfiguration = {
   HAOnly = 1;
   reconnAtt = -1;
   AutoReconnectInterval = 1;
   haLogPath = $dir/log;
   haLogStatus = enabled;
   logLen = 262144;
}
p11ha = {
$(! grep -q ' local ' "$dir/cluster.new" || printf '   Module00Path = %s;\n' "$build_dir/lib/p11ha-failing.so")
   CloningPolicy = domain;
}
TEXT
  grep -q ' remote ' "$dir/cluster.new" || return 0
  {
    printf 'LunaSA Client = {\n'
    local k kind rest index=0
    while read -r k kind rest; do
      [[ $kind == remote ]] || continue
      printf '   ServerName%02d = localhost;\n   ServerPort%02d = %s;\n' "$index" "$index" \
        "$(awk '$1 == "port" { print $2 }' "$dir/remote/$k/said")"
      index=$((index + 1))
    done <"$dir/cluster.new"
    printf '   ServerCAFile = %s;\n   ClientCertFile = %s;\n   ClientPrivKeyFile = %s;\n}\n' "$dir/pki/ca.pem" \
      "$dir/pki/client.pem" "$dir/pki/client.key"
  } >>"$dir/Chrystoki.conf"
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

# make_group LABEL PIN SO_PIN DOMAIN: of all members, in their order; where DOMAIN is not empty, with a cloning domain.
make_group() {
  local serials=() serial
  mapfile -t serials < <(awk '{ print $3 }' "$dir/cluster.new")
  manage() {
    P11HA_CONF=$dir/Chrystoki.conf SOFTHSM2_CONF=$dir/softhsm2.conf P11HA_FAILING_MODULE=$softhsm \
      P11HA_FAILING_CONTROL=$dir/failing P11HA_PIN=$pin P11HA_SO_PIN=$so_pin "$build_dir/bin/hacm" hagroup "$@" \
      >"$dir/failing/said" 2>&1 || failed "hacm: $(tr '\n' ' ' <"$dir/failing/said")"
    rm -f "$dir/failing/said"
  }
  local label=$1 pin=$2 so_pin=$3
  manage recoveryMode -mode activeEnhanced
  manage createGroup -serialNumber "${serials[0]}" -label "$label" -password env:P11HA_PIN
  for serial in "${serials[@]:1}"; do
    manage addMember -serialNumber "$serial" -group "$label" -password env:P11HA_PIN
  done
  [[ -z $4 ]] || manage synchronize -group "$label" -password env:P11HA_PIN -sopassword env:P11HA_SO_PIN
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
  local count='' remote=0 k domain=1 label=demo pin=12345678 so_pin=87654321
  [[ $# -ge 1 && $1 != -* ]] || misused "up: which DIR?"
  local wanted=$1
  shift
  while (($#)); do
    case $1 in
      --no-domain)
        domain=''
        shift
        continue
        ;;
      --local | --remote | --label | --pin | --so-pin) (($# >= 2)) || misused "$1: its value is missing" ;;
      *) misused "up: \"$1\" is no option" ;;
    esac
    case $1 in
      --local)
        in_range "$2" 0 32 || misused "--local: a group has 1 to 32 members"
        count=$((10#$2))
        ;;
      --remote)
        in_range "$2" 0 32 || misused "--remote: a group has 1 to 32 members"
        remote=$((10#$2))
        ;;
      --label) label=$2 ;;
      --pin) pin=$2 ;;
      --so-pin) so_pin=$2 ;;
    esac
    shift 2
  done
  [[ -n $count ]] || count=$((remote == 0 ? 3 : 0))
  in_range $((count + remote)) 1 32 || misused "a group has 1 to 32 members"
  check_label "$label"
  check_pin --pin "$pin"
  check_pin --so-pin "$so_pin"
  need softhsm2-util softhsm2
  need pkcs11-tool opensc
  [[ -e $softhsm ]] || failed "$softhsm is missing: apt-get install softhsm2"
  [[ -x $build_dir/bin/hacm ]] || failed "$build_dir/bin/hacm is missing: build p11ha first"
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
  if ((remote != 0)); then
    need openssl openssl
    mkdir -m 700 "$dir/remote"
    "$source_dir/testbed/pki.sh" "$dir/pki" ca ca
    "$source_dir/testbed/pki.sh" "$dir/pki" client ca client
    for ((k = count + 1; k <= count + remote; k++)); do write_remote "$k" "$pin" "$so_pin"; done
  fi
  write_configuration
  (umask 077 && write_env "$label" "$pin" "$so_pin")
  make_group "$label" "$pin" "$so_pin" "$domain"
  mv "$dir/cluster.new" "$dir/cluster"
  trap - EXIT
}

remove_cluster() {
  rm -f -- "$dir/cluster.new"
  local name home
  for home in "$dir"/remote/*/; do
    [[ ! -d $home ]] || kill_daemon "$(basename "$home")"
  done
  for name in "${own_names[@]}"; do rm -rf -- "${dir:?}/$name"; done
  rmdir -- "$dir" 2>/dev/null || true
}

daemon_state() {
  local pid listed
  pid=$(daemon_pid "$1") || {
    printf down
    return
  }
  if [[ $(ps -o stat= -p "$pid") == T* ]]; then
    printf paused
    return
  fi
  listed=$(tell_daemon "$1" list </dev/null 2>/dev/null | awk 'NR == 2 { print $3 }')
  case $listed in
    active) printf ok ;;
    '') printf down ;;
    *) printf %s "$listed" ;;
  esac
}

pids() {
  local k pid kind rest
  while read -r k kind rest; do
    [[ $kind != remote ]] || ! pid=$(daemon_pid "$k") || printf '%s\n' "$pid"
  done <"$dir/cluster"
}

status() {
  local k kind serial name rules state
  {
    printf 'member|kind|serial|token label|state\n'
    while read -r k kind serial name; do
      state=ok
      if [[ $kind == local ]]; then
        rules=$(failctl rules "serial:$serial" </dev/null)
        [[ -z $rules ]] || state=failing
      else
        state=$(daemon_state "$k")
      fi
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
    serial=$(member_of local "$3")
    if [[ $command == fail ]]; then
      failctl fail "serial:$serial" '*' CKR_DEVICE_ERROR
    else
      failctl heal "serial:$serial"
    fi
    ;;
  kill | start | restart | pause | resume | deactivate | activate | revoke | restore)
    (($# == 3)) || misused "$command: wants DIR and K"
    open_cluster "$2"
    serial=$(member_of remote "$3")
    k=$((10#$3))
    case $command in
      kill) kill_daemon "$k" ;;
      start) start_daemon "$k" ;;
      restart) end_daemon "$k" && start_daemon "$k" ;;
      pause | resume)
        pid=$(daemon_pid "$k") || failed "the daemon of member $k does not run"
        if [[ $command == pause ]]; then kill -STOP -- "-$pid"; else kill -CONT -- "-$pid"; fi
        ;;
      *) tell_daemon "$k" "$command" "$serial" ;;
    esac
    ;;
  status | pids | down)
    (($# == 2)) || misused "$command: wants DIR"
    open_cluster "$2"
    case $command in
      status) status ;;
      pids) pids ;;
      down) remove_cluster ;;
    esac
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
