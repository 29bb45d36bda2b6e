#!/usr/bin/env bash
# Knot DNS: keymgr makes keys in the token, kzonesign signs a zone with them.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need keymgr knot
need kzonesign knot-dnssecutils
need dnssec-verify bind9-utils

rules=(
  # Keys made anew, and times.
  's/DS [0-9]+ ([0-9]+ [0-9]+) [0-9A-Fa-f]+/DS TAG \1 HASH/; s/DNSKEY ([0-9]+) 3 ([0-9]+) .*/DNSKEY \1 3 \2 KEY/'
  's/[0-9a-f]{40}/ID/g; s/\b[0-9]{10}\b/TIME/g; s/\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:+-]+/TIME/g; s/(tag|key) +[0-9]{1,5}/\1 TAG/g'
)

# zone FILE: an unsigned zone example.org.
zone() {
  # shellcheck disable=SC2016 # the zone's own words
  printf '%s\n' '$ORIGIN example.org.' '$TTL 3600' '@ IN SOA ns.example.org. admin.example.org. 1 3600 900 604800 3600' \
    '@ IN NS ns.example.org.' 'ns IN A 192.0.2.1' 'www IN A 192.0.2.2' 'www IN TXT "hello"' >"$1"
}

manager() { keymgr -x -c knot.conf example.org. "$@"; }
listed() { manager list | sed -E 's/[0-9a-f]{40}/ID/; s/^ID +[0-9]+/ID TAG/' | sort; }
# dnssec-verify counts the signatures of each algorithm, and fails where one is missing or bad.
verified() { dnssec-verify -z -o example.org. "$1" 2>&1; }

client() {
  mkdir -p kasp zones
  zone zones/example.org.zone
  printf '%s\n' 'database:' "  storage: $PWD/kasp" 'keystore:' '  - id: token' '    backend: pkcs11' \
    "    config: \"pkcs11:token=$label;pin-value=$pin $module\"" \
    'policy:' '  - id: token' '    keystore: token' '    manual: on' '    algorithm: ECDSAP256SHA256' \
    'template:' '  - id: default' "    storage: $PWD/zones" '    dnssec-policy: token' '    dnssec-signing: on' \
    '    zonefile-load: whole' 'zone:' '  - domain: example.org.' '    file: example.org.zone' >knot.conf
  step 'make a key-signing key' manager generate algorithm=ECDSAP256SHA256 ksk=yes zsk=no
  step 'make a zone-signing key' manager generate algorithm=ECDSAP256SHA256 ksk=no zsk=yes
  step 'keys' listed
  step 'DS' manager ds
  step 'DNSKEY' manager dnskey
  step 'sign the zone' kzonesign -c knot.conf -o signed example.org.
  step 'verified by BIND' verified signed/example.org.zone
  step 'make RSA keys' manager generate algorithm=RSASHA256 size=2048 ksk=yes zsk=no
  step 'make RSA keys' manager generate algorithm=RSASHA256 size=2048 ksk=no zsk=yes
  step 'keys' listed
  step 'sign the zone' kzonesign -c knot.conf -o signed example.org.
  step 'verified by BIND' verified signed/example.org.zone
  for id in $(manager list | cut -d ' ' -f 1); do step 'destroy it' manager delete "$id"; done
  step 'no keys' listed
}

on_both client
