#!/usr/bin/env bash
# All that a member goes through, one thing after the other, and what the HA log says of it beside what the reference
# says.
# shellcheck source=testbed/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'TEXT'
usage: situations.sh

Makes a cluster of four SoftHSM members, each behind a p11ha-memberd of its own, and a group of three of them, on which
an application signs 100 times a second; puts it into all situations that the HA log has messages for, and prints each
situation's lines of haErrorLog.txt, each below the text of the reference (tests/golden/ha_situations.md). Lines of the
same kind that follow one another are shown once.

The status is 0 if each situation had the lines that it should have, in their order, and no other, if every message of
the reference was seen, and if no signature failed while a member was there.

P11HA_BUILD names the build directory to use (build/release of this source tree).
TEXT
}

take_options "" "" "$@"

table=$source_dir/tests/golden/ha_situations.md
own_texts=$source_dir/tests/golden/ha_messages_p11ha.txt
application=
make_folder situations
# shellcheck disable=SC2317 # by way of await
look_after() {
  [[ -z $application ]] || kill -0 "$application" 2>/dev/null ||
    failed "the application has ended: $(tail -n 5 "$folder/said")"
}

# ---- the cluster, its configuration, and the application

make_cluster --remote 4
conf=$folder/cluster/Chrystoki.conf
sed -i '1i HARecovery = {\n   demo = 0;\n}' "$conf"
# On a busy machine a member may be slow without being frozen.
sed -i 's/^   CloningPolicy.*/&\n   HeartbeatMisses = 10;/' "$conf"
serials=("$P11HA_MEMBER_1" "$P11HA_MEMBER_2" "$P11HA_MEMBER_3" "$P11HA_MEMBER_4")

# setting KEY VALUE: in the file, which is replaced as a whole. The first of that name: HARecovery's counter is `demo`.
setting() { sed -i -E "0,/^( *$1 *= ).*;/s//\\1$2;/" "$conf"; }
members() {
  local k list=
  for k in "$@"; do list+=${list:+, }${serials[k - 1]}; done
  setting VirtualToken00Members "$list"
}

mkdir "$folder/signatures"
mkfifo "$folder/stop"
begin_application() {
  rm -f "$folder/signed"
  "$build/bin/p11ha-sign-loop" --make demo-key --out "$folder/signatures" <"$folder/stop" >>"$folder/signed" \
    2>>"$folder/said" &
  application=$!
  exec 9>"$folder/stop"
  patiently has_signed
}
end_application() {
  exec 9>&-
  # Its status counts the signatures that failed when all members were lost, too.
  wait "$application" || (($? == 1)) || failed "the application: $(tail -n 5 "$folder/said")"
  application=
}
# shellcheck disable=SC2317 # by way of await
has_signed() { grep -q ' CKR_OK ' "$folder/signed" 2>/dev/null; }
failures() { awk 'NF == 3 && $2 != "CKR_OK"' "$folder/signed" | wc -l; }

# reinitialise K PIN: while its daemon is away: an empty token, under the same serial number.
reinitialise() {
  SOFTHSM2_CONF=$folder/cluster/remote/$1/softhsm2.conf softhsm2-util --init-token --serial "${serials[$1 - 1]}" \
    --label "member$1" --so-pin "$P11HA_SO_PIN" --pin "$2" >"$folder/tool" 2>&1 ||
    failed "softhsm2-util: $(cat "$folder/tool")"
}

# patiently COMMAND...: until it succeeds.
patiently() {
  await 60 "$@" || {
    cat "$P11HA_LOG" >&2
    failed "gave up waiting for: $*"
  }
}

# ---- the log

# The log's lines of this situation: event, member (- for none), text of the reference, line; separated by tabs. A line
# that is no message of the golden files is the event "?"; what only says more of a member that is away is "NotReached".
seen=0
lines() {
  [[ -e $P11HA_LOG ]] || return 0
  tail -n "+$((seen + 1))" "$P11HA_LOG" | awk -v serials="${serials[*]}" -v group="$P11HA_GROUP" \
    -v table="$table" -v own="$own_texts" '
    function add(event, text) {
      texts[++count] = text
      events[count] = event
      sub(/^<MessagePrefix> /, "", text)
      gsub(/[].[\\^$|()*+?{}]/, "\\\\&", text)
      gsub(/<(SerialNumber|TokenNumber)>/, "[0-9a-f]+", text)
      gsub(/<(Integer|AttemptNumber|Number)>/, "[1-9][0-9]*", text)
      gsub(/<ErrorCodeHex>/, "0x[0-9A-F]+", text)
      gsub(/<ErrorCodeString>/, "CKR_[A-Z_]+", text)
      gsub(/<[A-Za-z]+>/, ".+", text)
      patterns[count] = prefix text "$"
    }
    BEGIN {
      prefix = "^[A-Z][a-z][a-z] [A-Z][a-z][a-z] [ 1-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9] [0-9]+ : " \
               "\\[[0-9]+\\] HA group: " group " "
      known = split(serials, serial, " ")
      while ((getline row <table) > 0) {
        if (split(row, cell, " \\| ") != 5 || cell[3] !~ /^`/) continue
        sub(/^\| /, "", cell[1])
        gsub(/^`|(\\n)?`$/, "", cell[3])
        add(cell[1], cell[3])
      }
      while ((getline row <own) > 0) add(row ~ / is not reached: / ? "NotReached" : "Own", row)
    }
    {
      event = "?"
      text = "(none)"
      for (i = 1; i <= count; i++) {
        if ($0 !~ patterns[i]) continue
        event = events[i]
        text = event == "NotReached" || event == "Own" ? "(none: p11ha says more of it)" : texts[i]
        break
      }
      member = "-"
      for (k = 1; k <= known; k++) if (index($0, serial[k])) member = k
      printf "%s\t%s\t%s\t%s\n", event, member, text, $0
    }'
}
P11HA_GROUP=$(awk '$1 == "VirtualToken00SN" { sub(/;/, "", $3); print $3 }' "$conf")

# shellcheck disable=SC2317 # by way of await
is_logged() { lines | cut -f 1,2 | grep -qxF -- "$1"$'\t'"$2"; }
await_line() { patiently is_logged "$1" "$2"; }

# matches EVENTS PATTERN: words, of which one that ends in + or * may be there several times.
matches() {
  local regex='' word
  for word in $2; do
    case $word in
      *[+*]) regex+="(${word%?} )${word: -1}" ;;
      *) regex+="$word " ;;
    esac
  done
  [[ $1 =~ ^$regex$ ]]
}

bad=0
complain() {
  printf '  WRONG      %s\n' "$1"
  bad=$((bad + 1))
}

situation() { printf '\n== %s\n' "$1"; }

# logged [K PATTERN]...: ends a situation. What is said of member K, or of none (-); of others nothing is.
logged() {
  local now k events last='' reference line event member
  now=$(lines)
  while IFS=$'\t' read -r event member reference line; do
    [[ -n $event ]] || continue
    printf '%s\n' "$event" >>"$folder/events"
    [[ $event,$member != "$last" ]] || continue
    last=$event,$member
    printf '  reference  %s\n  ours       %s\n' "$reference" "$line"
  done <<<"$now"
  local -A wanted=()
  while (($#)); do
    wanted[$1]=$2
    shift 2
  done
  for k in - 1 2 3 4; do
    events=$(awk -F '\t' -v k="$k" '$2 == k && $1 != "NotReached" { printf "%s ", $1 }' <<<"$now")
    matches "$events" "${wanted[$k]:-}" || complain "member $k: \"${wanted[$k]:-}\" should be there, not \"$events\""
  done
  seen=$(wc -l <"$P11HA_LOG")
  [[ $(failures) == 0 ]] || complain "$(failures) signatures have failed"
}

# ---- what happens

members 1 2 3
situation "an application begins, makes a key pair, signs, and ends"
begin_application
end_application
logged - "MgmtThreadStart ConfiguredAsPassword MgmtThreadTerminate"

situation "another begins, and signs from now on; member 2 is not activated, member 3 not there; then they are"
cluster deactivate 2
cluster kill 3
begin_application
await_line StillNotActivated 2
await_line RecoveryFailed 3
cluster activate 2
cluster start 3
for k in 2 3; do await_line Recovered "$k"; done
logged - "MgmtThreadStart ConfiguredAsPassword" 2 "NotActivated StillNotActivated+ FirstActivated Recovered" \
  3 "DropUnrecoverable RecoveryFailed+ Recovered"

situation "kill -9 of the daemon of member 1, and a new start"
cluster kill 1
await_line RecoveryFailed 1
cluster start 1
await_line Recovered 1
logged 1 "DropMember RecoveryFailed+ Recovered"

situation "the daemon of member 2 is frozen (SIGSTOP), and goes on"
cluster pause 2
await_line RecoveryFailed 2
cluster resume 2
await_line Recovered 2
logged 2 "DropMember RecoveryFailed+ Recovered"

situation "the partition of member 3 is deactivated, and activated"
cluster deactivate 3
await_line RecoveryFailed 3
cluster activate 3
await_line Recovered 3
logged 3 "MemberDeactivated RecoveryFailed+ MemberNowActivated Recovered"

situation "the partition of member 1 is revoked, and restored"
cluster revoke 1
await_line RecoveryFailed 1
cluster restore 1
await_line Recovered 1
logged 1 "DropMember MemberRevoked RecoveryFailed+ Recovered"

situation "all members are lost, and return"
for k in 1 2 3; do cluster kill "$k"; done
await_line MembersOffline -
for k in 1 2 3; do await_line RecoveryFailed "$k"; done
for k in 1 2 3; do cluster start "$k"; done
for k in 1 2 3; do await_line Recovered "$k"; done
history="DropMember RecoveryFailed+ Recovered"
# What failed there had nobody to go to.
: >"$folder/signed"
patiently has_signed
logged - MembersOffline 1 "$history" 2 "$history" 3 "$history"

situation "the configuration file names member 4, too"
members 1 2 3 4
await_line Recovered 4
logged 4 "NewMember Reintroducing Recovered"

situation "the configuration file names member 4 no longer"
members 1 2 3
await_line DropMember 4
logged 4 "DropMember"

situation "the daemon of member 2 is killed, and stays away longer than reconnAtt = 2 allows"
setting reconnAtt 2
cluster kill 2
await_line AttemptsExceeded 2
logged 2 "DropMember RecoveryFailed RecoveryFailed AttemptsExceeded"

situation "it is started, and recovered by hand: the counter in HARecovery is raised"
cluster start 2
setting demo 1
await_line Recovered 2
logged 2 "ReenableMember Recovered"
setting reconnAtt -1

situation "while the daemon of member 3 is away, its token is initialised anew, under the old serial number"
cluster kill 3
await_line RecoveryFailed 3
reinitialise 3 "$P11HA_PIN"
cluster start 3
await_line Unrecoverable 3
logged 3 "DropMember RecoveryFailed+ Unrecoverable"

situation "the application ends"
end_application
logged - "MgmtThreadTerminate"

situation "member 3 has another PIN than the others when an application begins"
cluster kill 3
reinitialise 3 11112222
cluster start 3
begin_application
await_line LoginFailed 3
logged - "MgmtThreadStart ConfiguredAsPassword" 3 "LoginFailed"

situation "it is given theirs, recovered by hand, and the application ends"
cluster kill 3
reinitialise 3 "$P11HA_PIN"
cluster start 3
setting demo 2
await_line Recovered 3
end_application
logged - "MgmtThreadTerminate" 3 "ReenableMember Reintroducing Recovered"

situation "a group of PED based partitions"
sed -i 's/^   Partition00Serial.*/&\n   Partition00Authentication = PED;\n   Partition00PedPin = 12345678;/' \
  "$folder/cluster/remote/1/memberd.conf"
cluster restart 1
members 1
P11HA_PIN='' begin_application
end_application
logged - "MgmtThreadStart ConfiguredAsPed MgmtThreadTerminate"

# ---- whether that was all

total=0
printf '\n'
while IFS= read -r event; do
  total=$((total + 1))
  grep -qxF -- "$event" "$folder/events" || complain "no situation had $event"
done < <(sed -nE 's/^\| ([A-Za-z]+) \| (HALOG_|No ID).*/\1/p' "$table")
messages=$(grep -vxF -e Own -e NotReached -e '?' "$folder/events" | sort -u | wc -l)
printf '%d of the %d messages of the reference, in %d lines; wrong: %d\n' "$messages" "$total" "$seen" "$bad"
((bad == 0))
