#!/usr/bin/env bash
# Measures remote members beside the module itself, beside p11-kit's remoting, and beside what TLS costs alone.
set -euo pipefail
# Nothing ever comes from it: to wait for a moment costs no process, thousands of which confuse the shell.
exec {never}<> <(:)

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

style=--markdown
short=0
while (($#)); do
  case $1 in
    --short) short=1 ;;
    --json | --text) style=$1 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${P11HA_BUILD:-$source_dir/build/release}
softhsm=/usr/lib/softhsm/libsofthsm2.so
export P11HA_BUILD=$build
if [[ $build == "$source_dir/build/release" ]]; then
  "$source_dir/testbed/packages.sh" "$source_dir/packages.txt" "$source_dir/bench/packages.txt" >&2
  (cd "$source_dir" && cmake --preset release >/dev/null && cmake --build --preset release >/dev/null)
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/p11ha-bench-XXXXXX")
processes=()
clusters=()
# shellcheck disable=SC2317 # called by the trap
finish() {
  local each
  for each in "${processes[@]}"; do kill "$each" 2>/dev/null || true; done
  for each in "${clusters[@]}"; do "$source_dir/testbed/cluster.sh" down "$each" >/dev/null 2>&1 || true; done
  rm -rf -- "$dir"
}
trap finish EXIT

# said FILE PATTERN: what follows it there, as soon as there is something.
said() {
  local tries
  for ((tries = 0; tries < 500; tries++)); do
    if grep -qE "$2" "$1" 2>/dev/null; then
      sed -nE "s/.*$2(.*)/\\1/p" "$1" | head -n 1
      return
    fi
    read -r -t 0.02 -u "$never" || true
  done
  printf 'remote.sh: %s does not say %s\n' "$1" "$2" >&2
  return 1
}

export P11HA_PIN=12345678
mkdir "$dir/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$dir/softhsm2.conf"
SOFTHSM2_CONF=$dir/softhsm2.conf softhsm2-util --init-token --free --label bench --pin "$P11HA_PIN" --so-pin 87654321 >/dev/null
direct="direct module=$softhsm token=bench SOFTHSM2_CONF=$dir/softhsm2.conf"

# p11-kit's server is the process that it starts, with a child for each client.
SOFTHSM2_CONF=$dir/softhsm2.conf p11-kit server --foreground --name "$dir/p11-kit.sock" --provider "$softhsm" \
  'pkcs11:token=bench' >"$dir/p11-kit.said" 2>&1 &
processes+=("$!")
said "$dir/p11-kit.said" P11_KIT_SERVER_ADDRESS= >/dev/null
client=$(dpkg-query --listfiles p11-kit-modules | grep '/p11-kit-client\.so$')
p11kit="p11-kit module=$client token=bench server=${processes[-1]} P11_KIT_SERVER_ADDRESS=unix:path=$dir/p11-kit.sock"

pki() { "$source_dir/testbed/pki.sh" "$dir/pki" "$@"; }
pki ca ca
pki server ca server
pki client ca client
"$build/bin/p11ha-tls-ping-server" "$dir/pki/ca.pem" "$dir/pki/server.pem" "$dir/pki/server.key" >"$dir/ping.said" &
processes+=("$!")
port=$(said "$dir/ping.said" '^')
ping="tls-ping module=$build/lib/p11ha-tls-ping.so token=ping server=${processes[-1]} P11HA_PING_PORT=$port"
ping+=" P11HA_PING_CA=$dir/pki/ca.pem P11HA_PING_CERTIFICATE=$dir/pki/client.pem P11HA_PING_KEY=$dir/pki/client.key"

# remote_group N: a group of so many remote members, as a subject.
remote_group() {
  local name=remote-$1 pids
  "$source_dir/testbed/cluster.sh" up "$dir/$name" --remote "$1" --label bench --pin "$P11HA_PIN" >&2
  pids=$("$source_dir/testbed/cluster.sh" pids "$dir/$name")
  printf '%s module=%s token=bench ChrystokiConfigurationPath=%s' "$name" "$build/lib/libp11ha.so" "$dir/$name"
  # shellcheck disable=SC2086 # one word each
  printf ' server=%s' $pids
}
clusters+=("$dir/remote-1" "$dir/remote-2")
remote_1=$(remote_group 1)
remote_2=$(remote_group 2)

options=(--threads '1,2,8,64,256' --rounds 10 --round-ms 200)
others=session-info,hmac-64,gcm-256,gcm-16k,p256,rsa-2048
if ((short)); then
  options=(--threads '1,8' --rounds 4 --round-ms 100)
  others=session-info,hmac-64,p256
fi
[[ $style == --text ]] || options+=("$style")
"$build/bin/p11ha-bench" compare "${options[@]}" --workload random-32 --subject "$ping" --subject "$direct" \
  --subject "$p11kit" --subject "$remote_1" --subject "$remote_2"
[[ $style == --json ]] || echo
"$build/bin/p11ha-bench" compare "${options[@]}" --workload "$others" --subject "$direct" --subject "$p11kit" \
  --subject "$remote_1" --subject "$remote_2"
