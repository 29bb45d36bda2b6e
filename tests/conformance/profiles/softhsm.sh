#!/usr/bin/env bash
# Fresh SoftHSM tokens for the conformance suite: softhsm.sh DIR COUNT.
# shellcheck source=tests/conformance/profiles/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

module=${P11HA_SOFTHSM_MODULE:-/usr/lib/softhsm/libsofthsm2.so}

mkdir -p "$dir/tokens"
cat >"$dir/softhsm2.conf" <<TEXT
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
TEXT
export SOFTHSM2_CONF=$dir/softhsm2.conf

say module "$module"
say pin "$pin"
say so-pin "$so_pin"
say environment "SOFTHSM2_CONF=$SOFTHSM2_CONF"
say state "$dir/tokens"
for ((k = 1; k <= count; ++k)); do
  softhsm2-util --module "$module" --init-token --free --label "member$k" --pin "$pin" --so-pin "$so_pin" >&2
  say label "member$k"
done
softhsm2-util --module "$module" --show-slots |
  awk '/Serial number:/ { serial = $3 } /Label:/ && $2 { print $2, serial }' | sort -V | awk '{ print "serial=" $2 }'
