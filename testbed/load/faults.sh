#!/usr/bin/env bash
# A load that checks itself, on remote members to which everything happens that can happen to one.
# shellcheck source=testbed/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

usage() {
  cat <<'TEXT'
usage: faults.sh [--times N] [--threads N] [--rest MS] [--kinds LIST] [--remote N]

Makes a cluster of N remote members (3), a fault proxy before each, and a p11ha-load on the group (64 threads, each
resting 100 ms between its operations); then does each kind of fault N times (2), to one member after the other, and
each time waits until the member is back. Prints what failed, what was wrong and the longest gap, by kind, and how long
it took from the fault's end until the member served again; the status is 0 if nothing failed and nothing was wrong. The
kinds (all of them):

  kill        kill -9 of the daemon, and a new start   restart  the daemon is ended and started again
  freeze      SIGSTOP until it is given up, SIGCONT    reset    all connections reset in the middle of a frame
  corrupt     a byte of all connections inverted       stall    nothing passes until it is given up
  deactivate  the partition, until that is noticed
  trickle     50 bytes a second from it, until it is given up
  clog        50 bytes a second to it, until it is given up

P11HA_BUILD names the build directory to use (build/release of this source tree).
TEXT
}

times=2
threads=64
rest=100
remote=3
kinds=kill,restart,freeze,reset,corrupt,stall,deactivate,trickle,clog
take_options "" "times threads rest kinds remote" "$@"

make_folder faults
# shellcheck disable=SC2317 # as the script ends
before_end() { [[ -z ${P11HA_KEEP_LOG:-} ]] || cp "$P11HA_LOG" "$P11HA_KEEP_LOG" 2>/dev/null || true; }
make_cluster --remote "$remote"
conf=$folder/cluster/Chrystoki.conf

# A proxy before each daemon, in the order of the servers.
mapfile -t ports < <(sed -nE 's/^ *ServerPort[0-9]+ *= *([0-9]+) *;.*/\1/p' "$conf")
((${#ports[@]} == remote)) || failed "$conf has ${#ports[@]} servers"
for k in "${!ports[@]}"; do
  port=${ports[k]}
  control=$folder/proxy$((k + 1))
  "$build/bin/fault_proxy" --listen 127.0.0.1:0 --to "127.0.0.1:$port" --control "$control" >"$control.said" &
  wait_for 10 test -s "$control.said"
  before=$(cut -d: -f2 "$control.said")
  sed -i -E "s/^( *ServerPort[0-9]+ *= *)$port( *;)/\\1new$before\\2/" "$conf"
done
sed -i -E 's/^( *ServerPort[0-9]+ *= *)new/\1/' "$conf"
proxy() { "$build/bin/fault_proxy" ctl "$folder/proxy$1" "${@:2}"; }

mkfifo "$folder/kinds"
"$build/bin/p11ha-load" --threads "$threads" --rest "$rest" <"$folder/kinds" >"$folder/said" &
load=$!
# shellcheck disable=SC2317 # by way of wait_for
look_after() { kill -0 "$load" 2>/dev/null || failed "the load has ended"; }
exec 9>"$folder/kinds"
wait_for 60 grep -q '^ready' "$folder/said"

# Lines of the HA log about a member.
# shellcheck disable=SC2317 # also by way of wait_for
dropped() { grep -cE -- "has dropped member: $1|member: $1 deactivated" "$P11HA_LOG" || true; }
# shellcheck disable=SC2317
recovered() { grep -cE -- "recovery attempt [0-9]+ succeeded for member: $1" "$P11HA_LOG" || true; }
# shellcheck disable=SC2317 # all by way of wait_for
is_dropped() { (($(dropped "$1") > $2)); }
# shellcheck disable=SC2317
is_back() { (($(recovered "$1") >= $(dropped "$1"))); }
# shellcheck disable=SC2317
has_happened() { [[ $(proxy "$1" show) =~ ,\ $2\ ([0-9]+) ]] && ((BASH_REMATCH[1] > $3)); }
so_far() {
  [[ $(proxy "$1" show) =~ ,\ $2\ ([0-9]+) ]]
  printf %s "${BASH_REMATCH[1]}"
}

# once KIND K: the fault, until the member is back.
once() {
  local kind=$1 k=$2 serial before
  serial=$(awk -v k="$k" '$1 == k { print $3 }' "$folder/cluster/cluster")
  before=$(dropped "$serial")
  case $kind in
    kill)
      cluster kill "$k"
      wait_for 30 is_dropped "$serial" "$before"
      cluster start "$k"
      ;;
    restart)
      cluster restart "$k"
      wait_for 30 is_dropped "$serial" "$before"
      ;;
    freeze)
      cluster pause "$k"
      wait_for 30 is_dropped "$serial" "$before"
      cluster resume "$k"
      ;;
    stall)
      proxy "$k" stall
      wait_for 30 is_dropped "$serial" "$before"
      proxy "$k" pass
      ;;
    trickle)
      proxy "$k" throttle 50 to-client
      wait_for 30 is_dropped "$serial" "$before"
      proxy "$k" pass
      ;;
    clog)
      proxy "$k" throttle 50 to-server
      wait_for 30 is_dropped "$serial" "$before"
      proxy "$k" pass
      ;;
    deactivate)
      cluster deactivate "$k"
      wait_for 30 is_dropped "$serial" "$before"
      cluster activate "$k"
      ;;
    reset)
      before=$(so_far "$k" reset)
      proxy "$k" reset to-client
      wait_for 30 has_happened "$k" reset "$before"
      ;;
    corrupt)
      before=$(so_far "$k" corrupted)
      proxy "$k" corrupt to-client
      wait_for 30 has_happened "$k" corrupted "$before"
      rest 0.3 # both ends have seen it
      ;;
    *) failed "\"$kind\" is no kind of fault" ;;
  esac
  local healed=${EPOCHREALTIME/[.,]/}
  wait_for 60 is_back "$serial"
  back+=("$(((${EPOCHREALTIME/[.,]/} - healed) / 1000))")
}

for kind in ${kinds//,/ }; do
  back=()
  printf '%s\n' "$kind" >&9
  for ((i = 0; i < times; i++)); do once "$kind" $((i % remote + 1)); done
  printf '%s\n' "${back[@]}" | sort -n | awk -v kind="$kind" '
    { ms[NR] = $1 }
    END { printf "%s: serves again after %d ms (median), %d ms at most\n", kind, ms[int((NR + 1) / 2)], ms[NR] }
  ' >>"$folder/back"
done
printf 'nothing\n' >&9
rest 2
exec 9>&-
status=0
wait "$load" || status=$?
grep ' operations, ' "$folder/said"
cat "$folder/back"
exit "$status"
