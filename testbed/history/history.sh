#!/usr/bin/env bash
# A random history: two applications work on objects while members and applications are killed and revived, then the
# members' stores are compared with what the applications were told.
# shellcheck source=testbed/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

usage() {
  cat <<'TEXT'
usage: history.sh [--seed N] [--operations N] [--remote N] [--applications N] [--only LIST]
                 [--kinds LIST] [--no-domain] [--keep DIR]

Makes a cluster of N remote members (3) with a cloning domain and two applications, or one, that make N object operations
(5,000) together, drawn from the seed (1), while the seed kills, freezes, restarts and revives members, never all at once, and
kills applications, which go on with their journals. At the end all members serve again, the applications end, and each
member's store is read by itself and compared with the journals. Prints a line for all that is wrong, then a summary with
the time it took; the status is 0 if nothing is wrong.

--only       operations of create, generate, pair, unwrap, derive, copy, set, destroy (all)
--no-domain  members without a cloning domain: the applications make extractable keys only
--kinds      what happens, of kill, freeze, restart (of a member), death (of an application) and none;
             one that is named twice happens twice as often (all)
--keep       copies journals, lists and the HA log to that folder

P11HA_BUILD names the build directory to use (build/release of this source tree).
TEXT
}

seed=1
operations=5000
remote=3
applications=2
only=
keep=
no_domain=
kinds=kill,kill,kill,kill,kill,freeze,freeze,freeze,restart,restart,death,death
take_options no-domain "seed operations remote applications only kinds keep" "$@"

make_folder history
declare -A application
# shellcheck disable=SC2317 # as the script ends
before_end() {
  [[ -n $keep ]] || return 0
  mkdir -p -- "$keep"
  cp "$folder"/*.journal "$folder"/*.list "$folder"/*.said "$folder/cluster/log/haErrorLog.txt" "$keep" 2>/dev/null || true
}

# The seed's next number below $1, in `drawn`.
RANDOM=$seed
drawn=0
draw() { drawn=$((RANDOM % $1)); }
# A moment of $1 to $2 hundredths of a second.
draw_rest() {
  draw $(($2 - $1))
  rest "$(printf '%d.%02d' $((($1 + drawn) / 100)) $((($1 + drawn) % 100)))"
}

make_cluster --remote "$remote" ${no_domain:+--no-domain}
sealed=(--sealed)
[[ -z $no_domain ]] || sealed=()

# begin NAME
begin() {
  local input=8 beside=B
  [[ $1 == A ]] || { input=9 beside=A; }
  rm -f "$folder/$1.state"
  local other=()
  ((applications == 1)) || other=(--other "$folder/$beside.journal")
  "$build/bin/p11ha-history" app --name "$1" --journal "$folder/$1.journal" "${other[@]}" \
    --state "$folder/$1.state" --seed $((2 * seed + (input - 8))) --operations $((operations / applications)) \
    ${only:+--only "$only"} "${sealed[@]}" <"$folder/$1.input" >"$folder/$1.said" 2>>"$folder/$1.errors.said" \
    8>&- 9>&- &
  application[$1]=$!
}
mkfifo "$folder/A.input" "$folder/B.input"
# Open at both ends, so that an application that is killed takes nothing with it.
exec 8<>"$folder/A.input" 9<>"$folder/B.input"
started=${EPOCHREALTIME/[.,]/}
names=(A)
((applications == 1)) || names=(A B)
for name in "${names[@]}"; do begin "$name"; done

is_done() { grep -q '^done' "$folder/$1.said" 2>/dev/null; }
running() {
  local name
  for name in "${names[@]}"; do
    is_done "$name" || kill -0 "${application[$name]}" 2>/dev/null ||
      failed "application $name has ended: $(tail -n 1 "$folder/$name.errors.said")"
  done
  for name in "${names[@]}"; do is_done "$name" || return 0; done
  return 1
}
everything=$(printf '1%.0s' $(seq "$remote"))
# shellcheck disable=SC2317 # by way of wait_for
serve() {
  local name
  running || true
  for name in "${names[@]}"; do [[ $(cat "$folder/$name.state" 2>/dev/null) == "$everything" ]] || return 1; done
}

declare -A down frozen
revive() {
  if [[ -n ${frozen[$1]:-} ]]; then
    cluster resume "$1"
    unset "frozen[$1]"
  elif [[ -n ${down[$1]:-} ]]; then
    cluster start "$1"
    unset "down[$1]"
  fi
}
is_away() { [[ -n ${down[$1]:-}${frozen[$1]:-} ]]; }

# befall KIND K: it happens to that member.
befall() {
  case $1 in
    kill)
      cluster kill "$2"
      down[$2]=1
      ;;
    freeze)
      cluster pause "$2"
      frozen[$2]=1
      ;;
    restart) cluster restart "$2" ;;
    *) failed "\"$1\" is no kind of thing that happens" ;;
  esac
  happened=$((happened + 1))
}

# die NAME: the application, which goes on as a new process. One that is done has nothing to be cut off in.
die() {
  ! is_done "$1" || return 0
  kill -KILL "${application[$1]}"
  wait "${application[$1]}" 2>/dev/null || true
  begin "$1"
  deaths=$((deaths + 1))
}
IFS=, read -r -a kinds <<<"$kinds"

happened=0
deaths=0
# A member that nothing happens to, until all serve again: so there is always one that has everything.
while [[ ${kinds[0]} != none ]] && running; do
  draw "$remote"
  anchor=$((drawn + 1))
  draw 6
  for ((left = 2 + drawn; left > 0; left--)); do
    running || break
    draw_rest 20 150
    draw "${#kinds[@]}"
    kind=${kinds[drawn]}
    if [[ $kind == death ]]; then
      draw "$applications"
      die "${names[drawn]}"
      continue
    fi
    draw "$remote"
    k=$((drawn + 1))
    if is_away "$k"; then
      revive "$k"
    elif ((k != anchor)); then
      befall "$kind" "$k"
    fi
  done
  for ((k = 1; k <= remote; k++)); do revive "$k"; done
  wait_for 180 serve
done
wait_for 600 eval '! running'
for ((k = 1; k <= remote; k++)); do revive "$k"; done
wait_for 180 serve
exec 8>&- 9>&-
for name in "${names[@]}"; do
  wait "${application[$name]}" || failed "application $name: $(tail -n 1 "$folder/$name.errors.said")"
done
worked=$(((${EPOCHREALTIME/[.,]/} - started) / 1000))
for ((k = 1; k <= remote; k++)); do
  cluster kill "$k"
  SOFTHSM2_CONF=$folder/cluster/remote/$k/softhsm2.conf "$build/bin/p11ha-history" list --module "$P11HA_FAILING_MODULE" \
    --token "member$k" >"$folder/member$k.list"
done
status=0
lists=()
for ((k = 1; k <= remote; k++)); do lists+=(--list "$folder/member$k.list"); done
for name in "${names[@]}"; do lists+=(--journal "$folder/$name.journal"); done
"$build/bin/p11ha-history" check --seed "$seed" "${lists[@]}" || status=$?
printf 'history seed %s: %d ms of work, %d things happened to members, %d deaths of applications; checked after %d s\n' \
  "$seed" "$worked" "$happened" "$deaths" "$SECONDS"
exit "$status"
