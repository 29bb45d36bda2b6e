#!/usr/bin/env bash
# A fresh database of NSS softokn for the conformance suite: nss.sh DIR 1.
# shellcheck source=tests/conformance/profiles/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

only_one

# Each of many processes logs in: one round of the password's hash will do, not thousands.
iterations=NSS_MAX_MP_PBE_ITERATION_COUNT=1
export "${iterations?}"

mkdir "$dir/db"
printf '%s\n' "$pin" >"$dir/pin"
certutil -N -d "sql:$dir/db" -f "$dir/pin" >&2

# softokn frees what it never set in C_VerifyInit of a key too short: memory begins as zeroes, as it mostly is.
say environment GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.perturb=255
say module "${P11HA_SOFTOKN_MODULE:-/usr/lib/x86_64-linux-gnu/libsoftokn3.so}"
say reserved "configdir='sql:$dir/db' certPrefix='' keyPrefix='' secmod='' flags=noModDB"
say pin "$pin"
say so-pin "$so_pin"
say environment "$iterations"
say label 'NSS Certificate DB'
# The serial number of each of softokn's tokens is nothing but zeros.
say serial nss1
say slot 2
say state "$dir/db"
