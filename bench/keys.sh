#!/usr/bin/env bash
# Measures what keys cost a group: brought to a member that lacks them, made on several members, kept in memory.
# shellcheck source=testbed/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../testbed/common.sh"

usage() {
  cat <<'TEXT'
usage: keys.sh [--short] [--objects N] [--rounds N]

Builds p11ha, makes a throw-away cluster of three SoftHSM tokens with a cloning domain, and prints as Markdown:
  what it costs to make a key on one member and on three ("direct" is SoftHSM itself);
  how long a member takes to get N mixed objects, and how long where it lacks one in a hundred, each beside the bare calls
  that copy as many (C_WrapKey and C_UnwrapKey, one after the other; C_GetAttributeValue and C_CreateObject);
  what each listed object takes of memory.
The objects, in equal parts: AES keys, halves of P-256 pairs, both as many that may leave their token as not; one in ten is
a certificate, one in ten a private data object.

The tokens are in /dev/shm, so that no disk is measured, unless TMPDIR says otherwise.

--objects  how many, a multiple of 1000 (10000)
--rounds   of the copies (3); the medians are told
--short    1000 objects, one round, fewer keys: about a minute, and noisy
TEXT
}

short=
objects=10000
rounds=3
take_options "short" "objects rounds" "$@"
if [[ -n $short ]]; then
  objects=1000
  rounds=1
fi
[[ $objects =~ ^[1-9][0-9]*000$ && $rounds =~ ^[1-9][0-9]*$ ]] || misused

softhsm=/usr/lib/softhsm/libsofthsm2.so
if [[ $build == "$source_dir/build/release" ]]; then
  "$source_dir/testbed/packages.sh" >&2
  (cd "$source_dir" && cmake --preset release >/dev/null && cmake --build --preset release >/dev/null)
fi
bench=$build/bin/p11ha-bench

[[ -n ${TMPDIR:-} || ! -w /dev/shm ]] || export TMPDIR=/dev/shm
make_folder keys
make_cluster --local 3
home=$folder/cluster
group=(--module "$P11HA_MODULE" --token "$P11HA_LABEL")
unset ChrystokiConfigurationPath

# configuration NAME COUNT: of the group of its first members, on SoftHSM itself.
configuration() {
  local members=$P11HA_MEMBER_1
  [[ $2 == 1 ]] || members+=", $P11HA_MEMBER_2"
  [[ $2 != 3 ]] || members+=", $P11HA_MEMBER_3"
  sed -E "s|^( *Module00Path *=).*|\\1 $softhsm;|; s|^( *VirtualToken00Members *=).*|\\1 $members;|" \
    "$home/Chrystoki.conf" >"$folder/$1"
}
configuration one 1
configuration two 2
configuration three 3

# store_of K: the directory of that member's token, which is named by a UUID that ends with its serial.
store_of() {
  local serial=P11HA_MEMBER_$1
  serial=${!serial}
  printf '%s\n' "$home"/tokens/*"${serial:0:4}-${serial:4}"
}
store=$(store_of 2)
other=$(store_of 3)

# median NUMBER...
median() { printf '%s\n' "$@" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

lengths=(--rounds 10 --round-ms 1000)
[[ -z $short ]] || lengths=(--rounds 4 --round-ms 200)
"$bench" compare --markdown "${lengths[@]}" --threads 1 --workload aes-key,p256-key \
  --subject "direct module=$softhsm token=member1" \
  --subject "one-member module=$P11HA_MODULE token=$P11HA_LABEL P11HA_CONF=$folder/one" \
  --subject "three-members module=$P11HA_MODULE token=$P11HA_LABEL P11HA_CONF=$folder/three"
echo

cp -a "$store" "$folder/empty"
cp -a "$other" "$folder/other"
made=$(P11HA_CONF=$folder/two "$bench" make-objects "${group[@]}" --sets $((objects / 10)))
cp -a "$store" "$folder/full"
(($(find "$folder/full" -name '*.object' | wc -l) > objects)) || failed "member 2 was lost meanwhile: $(tail -n 5 "$P11HA_LOG")"
# One file in a hundred of those that came; their names are random.
cp -a "$folder/full" "$folder/nearly"
comm -13 <(ls "$folder/empty") <(ls "$folder/full") | grep '\.object$' | awk 'NR % 100 == 1' |
  sed "s|^|$folder/nearly/|" | xargs -d '\n' rm -f

# restore SNAPSHOT STORE
restore() {
  rm -rf -- "${2:?}"
  cp -a "$1" "$2"
}
# rejoin SNAPSHOT: prints how many objects the member was given, and in how many seconds.
rejoin() {
  restore "$1" "$store"
  cp "$folder/one" "$folder/live"
  P11HA_CONF=$folder/live "$bench" rejoin "${group[@]}" --configuration "$folder/live" --with "$folder/two" --ha-log "$P11HA_LOG"
}
bare_times=()
empty_times=()
nearly_times=()
for ((round = 0; round < rounds; round++)); do
  restore "$folder/other" "$other"
  read -r bare_count seconds < <("$bench" bare-copy --module "$softhsm" --token member1 --other member3)
  bare_times+=("$seconds")
  read -r empty_count seconds < <(rejoin "$folder/empty")
  empty_times+=("$seconds")
  read -r nearly_count seconds < <(rejoin "$folder/nearly")
  nearly_times+=("$seconds")
done

# row WHAT COUNT SECONDS SECONDS_OF_BARE_CALLS
row() {
  awk -v what="$1" -v count="$2" -v seconds="$3" -v bare="$4" 'BEGIN {
    printf "| %s | %d | %.3f | %.2f | %.2f |\n", what, count, seconds, 1000 * seconds / count, seconds / bare }'
}
bare=$(median "${bare_times[@]}")
echo "| copying | objects | seconds | ms each | time / bare calls |"
echo "|---|---:|---:|---:|---:|"
row "bare calls" "$bare_count" "$bare" "$bare"
row "resync, empty member" "$empty_count" "$(median "${empty_times[@]}")" "$bare"
row "resync, nearly complete member" "$nearly_count" "$(median "${nearly_times[@]}")" "$bare"
echo

restore "$folder/full" "$store"
read -r listed direct_bytes direct_pages < <("$bench" memory --module "$softhsm" --token member1 --other member2)
read -r group_listed group_bytes group_pages < <(P11HA_CONF=$folder/two "$bench" memory "${group[@]}")
awk -v listed="$listed" -v db="$direct_bytes" -v dp="$direct_pages" -v n="$group_listed" -v gb="$group_bytes" -v gp="$group_pages" '
  BEGIN {
    print "| memory, two members | objects listed | allocated, bytes an object | resident, bytes an object |"
    print "|---|---:|---:|---:|"
    printf "| SoftHSM alone, both tokens | %d | %d | %d |\n", listed, db / n, dp / n
    printf "| group of the two | %d | %d | %d |\n", n, gb / n, gp / n
    printf "| the group adds | | %d | %d |\n", (gb - db) / n, (gp - dp) / n
  }'
printf '\nmade before, through the group of two: %s objects in %s s\n' "${made% *}" "${made#* }" >&2
