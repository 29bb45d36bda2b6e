#!/usr/bin/env bash
# Fresh SoftHSM tokens for the conformance suite: softhsm.sh DIR COUNT. Prints what run/profile.h says.
set -euo pipefail

dir=$1
count=$2
module=${P11HA_SOFTHSM_MODULE:-/usr/lib/softhsm/libsofthsm2.so}
pin=12345678
so_pin=87654321

mkdir -p "$dir/tokens"
cat >"$dir/softhsm2.conf" <<TEXT
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
TEXT
export SOFTHSM2_CONF=$dir/softhsm2.conf

printf 'module=%s\npin=%s\nso-pin=%s\nenvironment=SOFTHSM2_CONF=%s\nstate=%s\n' \
  "$module" "$pin" "$so_pin" "$SOFTHSM2_CONF" "$dir/tokens"
for ((k = 1; k <= count; ++k)); do
  softhsm2-util --module "$module" --init-token --free --label "member$k" --pin "$pin" --so-pin "$so_pin" >&2
  printf 'label=member%d\n' "$k"
done
softhsm2-util --module "$module" --show-slots |
  awk '/Serial number:/ { serial = $3 } /Label:/ && $2 { print $2, serial }' | sort -V | awk '{ print "serial=" $2 }'
