#!/usr/bin/env bash
# Measures remote members beside the module itself, beside p11-kit's remoting, and beside what TLS costs alone.
# shellcheck source=testbed/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../testbed/common.sh"

usage() {
  cat <<'TEXT'
usage: remote.sh [--short] [--json | --text]

Builds p11ha, makes throw-away SoftHSM tokens, certificates and daemons, and runs `p11ha-bench compare` twice, at 1, 2, 8,
64 and 256 threads:
  on C_GenerateRandom of 32 bytes, with "tls-ping" first: the same bytes over TLS 1.3 and nothing else
  on everything else, with "direct" first: SoftHSM in the process itself
The other subjects: "p11-kit" (its client and its server, over a Unix socket), "remote-1" and "remote-2" (groups of one
and of two remote members on this machine, mutual TLS 1.3). CPU is that of the process that calls, server CPU that of the
processes which answer; both a call. A quarter of an hour.

--short  fewer workloads, threads and rounds: about a minute, and noisy
--json   for machines; --text: for the terminal
TEXT
}

short=
json=
text=
take_options "short json text" "" "$@"

softhsm=/usr/lib/softhsm/libsofthsm2.so
if [[ $build == "$source_dir/build/release" ]]; then
  "$source_dir/testbed/packages.sh" "$source_dir/packages.txt" "$source_dir/bench/packages.txt" >&2
  (cd "$source_dir" && cmake --preset release >/dev/null && cmake --build --preset release >/dev/null)
fi

make_folder bench
# said FILE PATTERN: what follows it there, as soon as there is something.
said() {
  wait_for 10 grep -qsE "$2" "$1"
  sed -nE "s/.*$2(.*)/\\1/p" "$1" | head -n 1
}

export P11HA_PIN=12345678
mkdir "$folder/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$folder/tokens" >"$folder/softhsm2.conf"
SOFTHSM2_CONF=$folder/softhsm2.conf softhsm2-util --init-token --free --label bench --pin "$P11HA_PIN" --so-pin 87654321 >/dev/null
direct="direct module=$softhsm token=bench SOFTHSM2_CONF=$folder/softhsm2.conf"

# p11-kit's server is the process that it starts, with a child for each client.
SOFTHSM2_CONF=$folder/softhsm2.conf p11-kit server --foreground --name "$folder/p11-kit.sock" --provider "$softhsm" \
  'pkcs11:token=bench' >"$folder/p11-kit.said" 2>&1 &
p11kit_server=$!
said "$folder/p11-kit.said" P11_KIT_SERVER_ADDRESS= >/dev/null
client=$(dpkg-query --listfiles p11-kit-modules | grep '/p11-kit-client\.so$')
p11kit="p11-kit module=$client token=bench server=$p11kit_server P11_KIT_SERVER_ADDRESS=unix:path=$folder/p11-kit.sock"

pki() { "$source_dir/testbed/pki.sh" "$folder/pki" "$@"; }
pki ca ca
pki server ca server
pki client ca client
"$build/bin/p11ha-tls-ping-server" "$folder/pki/ca.pem" "$folder/pki/server.pem" "$folder/pki/server.key" >"$folder/ping.said" &
ping_server=$!
port=$(said "$folder/ping.said" '^')
ping="tls-ping module=$build/lib/p11ha-tls-ping.so token=ping server=$ping_server P11HA_PING_PORT=$port"
ping+=" P11HA_PING_CA=$folder/pki/ca.pem P11HA_PING_CERTIFICATE=$folder/pki/client.pem P11HA_PING_KEY=$folder/pki/client.key"

# remote_group N: a group of so many remote members, as a subject.
remote_group() {
  local name=remote-$1 pids
  "$source_dir/testbed/cluster.sh" up "$folder/$name" --remote "$1" --label bench --pin "$P11HA_PIN" >&2
  pids=$("$source_dir/testbed/cluster.sh" pids "$folder/$name")
  printf '%s module=%s token=bench ChrystokiConfigurationPath=%s' "$name" "$build/lib/libp11ha.so" "$folder/$name"
  # shellcheck disable=SC2086 # one word each
  printf ' server=%s' $pids
}
remote_1=$(remote_group 1)
remote_2=$(remote_group 2)

options=(--threads '1,2,8,64,256' --rounds 10 --round-ms 200)
others=session-info,hmac-64,gcm-256,gcm-16k,p256,rsa-2048
if [[ -n $short ]]; then
  options=(--threads '1,8' --rounds 4 --round-ms 100)
  others=session-info,hmac-64,p256
fi
[[ -z $json ]] || options+=(--json)
[[ -n $json$text ]] || options+=(--markdown)
"$build/bin/p11ha-bench" compare "${options[@]}" --workload random-32 --subject "$ping" --subject "$direct" \
  --subject "$p11kit" --subject "$remote_1" --subject "$remote_2"
[[ -n $json ]] || echo
"$build/bin/p11ha-bench" compare "${options[@]}" --workload "$others" --subject "$direct" --subject "$p11kit" \
  --subject "$remote_1" --subject "$remote_2"
