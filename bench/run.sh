#!/usr/bin/env bash
# Measures a group of one local member beside the member itself and beside p11-kit-proxy, on tokens of its own.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: run.sh [--short] [--json] [COMMAND [OPTION ...]]

Builds p11ha, makes a throw-away SoftHSM token, and runs `p11ha-bench COMMAND` on three subjects: "direct" (SoftHSM),
"group" (p11ha over it) and "p11-kit-proxy" (over it). COMMAND is table (unless told), compare, count or log; without
options table prints the tables of the README, in some minutes.

--short  fewer calls, short rounds: about 20 seconds, and noisy
--json   for machines
TEXT
}

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$source_dir/build/release
softhsm=/usr/lib/softhsm/libsofthsm2.so
short=0
style=--markdown

while (($#)); do
  case $1 in
    --short) short=1 ;;
    --json) style=--json ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*)
      usage >&2
      exit 2
      ;;
    *) break ;;
  esac
  shift
done
command=${1:-table}
(($# == 0)) || shift
case $command in
  table | compare | count | log) ;;
  *)
    usage >&2
    exit 2
    ;;
esac

"$source_dir/testbed/packages.sh" "$source_dir/packages.txt" "$source_dir/bench/packages.txt" >&2
cd "$source_dir"
cmake --preset release >/dev/null
cmake --build --preset release --target p11ha p11ha-bench >/dev/null

dir=$(mktemp -d "${TMPDIR:-/tmp}/p11ha-bench-XXXXXX")
trap 'rm -rf -- "$dir"' EXIT
mkdir -p "$dir/tokens" "$dir/log" "$dir/p11-kit/pkcs11/modules"
export P11HA_PIN=12345678 SOFTHSM2_CONF=$dir/softhsm2.conf
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$SOFTHSM2_CONF"
softhsm2-util --init-token --free --label bench --pin "$P11HA_PIN" --so-pin 87654321 >/dev/null
serial=$(softhsm2-util --show-slots | sed -nE 's/^ *Serial number: *([0-9a-f]{16})$/\1/p' | head -n 1)
cat >"$dir/Chrystoki.conf" <<CONF
VirtualToken = {
   VirtualToken00Label = bench;
   VirtualToken00SN = 1150032;
   VirtualToken00Members = $serial;
}
HAConfiguration = { haLogPath = $dir/log; }
p11ha = { Module00Path = $softhsm; }
CONF
# p11-kit reads only the user's own configuration if that says so.
printf 'user-config: only\n' >"$dir/p11-kit/pkcs11/pkcs11.conf"
printf 'module: %s\n' "$softhsm" >"$dir/p11-kit/pkcs11/modules/softhsm.module"

options=("$style")
if [[ $command != log ]]; then
  proxy=$(dpkg-query --listfiles p11-kit-modules | grep '/p11-kit-proxy\.so$')
  options+=(--subject "direct module=$softhsm token=bench"
    --subject "group module=$build/lib/libp11ha.so token=bench P11HA_CONF=$dir/Chrystoki.conf"
    --subject "p11-kit-proxy module=$proxy token=bench XDG_CONFIG_HOME=$dir/p11-kit")
fi
if ((short)); then
  quick='session-info,random-32,sha256-64,p256'
  case $command in
    table) options+=(--workload "$quick" --threads '1,8' --rounds 4 --round-ms 50 --calls 100 --lines 5000) ;;
    compare) options+=(--workload "$quick" --threads '1,8' --rounds 4 --round-ms 50) ;;
    count) options+=(--workload "$quick" --calls 100) ;;
    log) options+=(--rounds 4 --lines 5000) ;;
  esac
fi
"$build/bin/p11ha-bench" "$command" "${options[@]}" "$@"
