#!/usr/bin/env bash
# A group's life as its manager sees it, on a local member and two behind appliances: made by hacm alone, used by an
# application, with a member lost, back, taken out and added again while that signs.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export P11HA_BUILD=${P11HA_BUILD:-$source_dir/build/release}
folder=$(mktemp -d)
loop=
# shellcheck disable=SC2317 # called by the trap
finish() {
  [[ -z $loop ]] || kill "$loop" 2>/dev/null || true
  [[ ! -f $folder/cluster/cluster ]] || cluster down >/dev/null
  rm -rf "$folder"
}
trap finish EXIT

failed() {
  printf 'life.sh: %s\n' "$*" >&2
  exit 1
}
cluster() { "$source_dir/testbed/cluster.sh" "$1" "$folder/cluster" "${@:2}"; }
hacm() {
  printf '\nhacm:> %s\n' "$*"
  "$P11HA_BUILD/bin/hacm" "$@" 2>&1 | tee "$folder/said"
  return "${PIPESTATUS[0]}"
}
said() { grep -q -- "$1" "$folder/said" || failed "hacm does not say \"$1\""; }
# wait_for COMMAND...: until it succeeds, for a minute.
wait_for() {
  local until=$((SECONDS + 60))
  until "$@"; do
    ((SECONDS < until)) || failed "in vain: $*"
    sleep 0.1
  done
}
slots() { "$P11HA_BUILD/bin/hacm" slot list | grep -e "Slot Id" -e "Serial Number"; }
state() { "$P11HA_BUILD/bin/hacm" hagroup status 2>&1 | grep -q "^$1 *$2 "; }
signed() { (($(find "$folder/signatures" -name '*.sig' | wc -l) >= $1)); }
more() { wait_for signed $(($(find "$folder/signatures" -name '*.sig' | wc -l) + 20)); }

cluster up --local 1 --remote 2 --no-domain
# shellcheck disable=SC1091
source "$folder/cluster/env"
export ChrystokiConfigurationPath
conf=$folder/cluster/Chrystoki.conf

hacm hagroup deleteGroup -label demo
! grep -q "$P11HA_MEMBER_1" "$conf" || failed "the group is in the configuration still"
mapfile -t ports < <(sed -n 's/.*ServerPort.. = \(.*\);/\1/p' "$conf")
sed -i '/^LunaSA Client = {/,/^}/d' "$conf"
hacm hagroup status -path "$folder"
hacm client init -caFile "$folder/cluster/pki/ca.pem" -certFile "$folder/cluster/pki/client.pem" \
  -keyFile "$folder/cluster/pki/client.key"
for port in "${ports[@]}"; do hacm client addServer -server localhost -port "$port"; done
said "Tokens there are now: 3"
hacm slot list
said "$P11HA_MEMBER_3"
hacm hagroup createGroup -serialNumber "$P11HA_MEMBER_1" -label demo -password env:P11HA_PIN -sopassword env:P11HA_SO_PIN
hacm hagroup addMember -serialNumber "$P11HA_MEMBER_2" -group demo -password env:P11HA_PIN -sopassword env:P11HA_SO_PIN
hacm hagroup addMember -serialNumber "$P11HA_MEMBER_3" -group demo -password env:P11HA_PIN -sopassword env:P11HA_SO_PIN
hacm client removeServer -server localhost -port "${ports[0]}" && failed "a server goes with a group's member"
said "member $P11HA_MEMBER_2 of group \"demo\" is on server localhost:${ports[0]}"
hacm client removeModule -path "$(sed -n 's/.*Module00Path = \(.*\);/\1/p' "$conf")" && failed "a module goes with a member"
said "member $P11HA_MEMBER_1 of group \"demo\" is on module"
hacm hagroup doctor -password env:P11HA_PIN
said "all members that are there share a cloning domain"
said "certificate $folder/cluster/pki/client.pem: it expires on"

pkcs11-tool --module "$P11HA_MODULE" --login --pin env:P11HA_PIN --keypairgen --key-type EC:prime256v1 --label demo-key \
  --id 01 >/dev/null 2>&1 || failed "no key pair can be made"
hacm partition contents -group demo -password env:P11HA_PIN
(($(grep -c "3 of 3" "$folder/said") == 2)) || failed "the key pair is not on all members"

mkdir "$folder/signatures"
mkfifo "$folder/stop"
"$P11HA_BUILD/bin/p11ha-sign-loop" --key demo-key --out "$folder/signatures" <"$folder/stop" >"$folder/loop.txt" &
loop=$!
exec 9>"$folder/stop"
wait_for signed 20
wait_for state "$P11HA_MEMBER_2" active

slots >"$folder/slots"
cluster kill 2
wait_for state "$P11HA_MEMBER_2" "\(down\|recovering\)"
hacm hagroup listGroups -password env:P11HA_PIN
said "$P11HA_MEMBER_2  *------------  *down"
said "Needs sync:  no"
slots | diff "$folder/slots" - || failed "slots move when a member is away"
hacm hagroup doctor && failed "the doctor finds nothing"
said "ERROR   member $P11HA_MEMBER_2: it cannot be reached"
cluster start 2
hacm hagroup recover -group demo
wait_for state "$P11HA_MEMBER_2" active
more

hacm hagroup removeMember -group demo -serialNumber "$P11HA_MEMBER_3"
gone() { ! state "$P11HA_MEMBER_3" "[a-z]*"; }
wait_for gone
hacm hagroup addMember -group demo -serialNumber "$P11HA_MEMBER_3" -password env:P11HA_PIN -objects copy
wait_for state "$P11HA_MEMBER_3" active
more
hacm hagroup status
hacm hagroup synchronize -group demo -password env:P11HA_PIN
hacm hagroup halog -tail
said "has dropped member: $P11HA_MEMBER_2"
said "detected new member member: $P11HA_MEMBER_3"

hacm hagroup removeMember -group demo -serialNumber "$P11HA_MEMBER_2"
cluster kill 2
hacm client removeServer -server localhost -port "${ports[0]}"
said "Server localhost:${ports[0]} was successfully removed."
more

exec 9>&-
wait "$loop" || failed "the application: $(cat "$folder/loop.txt")"
loop=
tail -n 1 "$folder/loop.txt"
grep -q "failed 0," "$folder/loop.txt" || failed "a signature failed"
