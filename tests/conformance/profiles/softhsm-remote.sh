#!/usr/bin/env bash
# Fresh SoftHSM tokens of which a group sees some through a daemon: softhsm-remote.sh DIR COUNT [LOCAL]. LOCAL of them (none) are
# seen directly, by the module itself.
# shellcheck source=tests/conformance/profiles/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

module=${P11HA_SOFTHSM_MODULE:-/usr/lib/softhsm/libsofthsm2.so}
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
memberd=${P11HA_BUILD:-$source_dir/build/release}/bin/p11ha-memberd
local_count=${3:-0}

# make_store FOLDER
make_store() {
  mkdir -p "$1/tokens"
  cat >"$1/softhsm2.conf" <<TEXT
directories.tokendir = $1/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
TEXT
  say state "$1/tokens"
}

# make_token FOLDER K
make_token() {
  SOFTHSM2_CONF=$1/softhsm2.conf softhsm2-util --module "$module" --init-token --free --label "member$2" --pin "$pin" \
    --so-pin "$so_pin" >&2
  say label "member$2"
}

serials() {
  SOFTHSM2_CONF=$1/softhsm2.conf softhsm2-util --module "$module" --show-slots |
    awk '/Serial number:/ { serial = $3 } /Label:/ && $2 { print $2, serial }' | sort -V | awk '{ print $2 }'
}

make_store "$dir"
remote=$dir
if ((local_count != 0)); then
  remote=$dir/remote
  make_store "$remote"
fi
for ((k = 1; k <= count; ++k)); do
  if ((k <= local_count)); then make_token "$dir" "$k"; else make_token "$remote" "$k"; fi
done
say module "$module"
say pin "$pin"
say so-pin "$so_pin"
say environment "SOFTHSM2_CONF=$dir/softhsm2.conf"
if ((local_count != 0)); then
  mapfile -t local_serials < <(serials "$dir")
  say serial "${local_serials[@]}"
else
  say elsewhere all
fi
((count > local_count)) || exit 0
mapfile -t remote_serials < <(serials "$remote")
say serial "${remote_serials[@]}"

"$source_dir/testbed/pki.sh" "$dir/pki" ca ca >&2
"$source_dir/testbed/pki.sh" "$dir/pki" server ca server >&2
"$source_dir/testbed/pki.sh" "$dir/pki" client ca client >&2
{
  cat <<TEXT
Appliance = {
   Listen = 127.0.0.1;
   Port = 0;
   ClientCAFile = $dir/pki/ca.pem;
   ServerCertFile = $dir/pki/server.pem;
   ServerPrivKeyFile = $dir/pki/server.key;
   LogFile = $dir/memberd.log;
}
Modules = {
   Module00Path = $module;
}
Clients = {
   Client00Name = client;
   Client00Partitions = *;
}
Partitions = {
TEXT
  for k in "${!remote_serials[@]}"; do printf '   Partition%02dSerial = %s;\n' "$k" "${remote_serials[$k]}"; done
  printf '}\n'
} >"$dir/memberd.conf"
SOFTHSM2_CONF=$remote/softhsm2.conf setsid "$memberd" --config "$dir/memberd.conf" </dev/null >"$dir/memberd.said" 2>&1 &
daemon=$!
for ((tries = 0; tries < 1500; tries++)); do
  ! grep -q '^port ' "$dir/memberd.said" || break
  kill -0 "$daemon"
  sleep 0.02
done
port=$(awk '$1 == "port" { print $2 }' "$dir/memberd.said")
[[ -n $port ]]
say end "kill $daemon"
say client "ServerName00 = localhost" "ServerPort00 = $port" "ServerCAFile = $dir/pki/ca.pem" \
  "ClientCertFile = $dir/pki/client.pem" "ClientPrivKeyFile = $dir/pki/client.key"
