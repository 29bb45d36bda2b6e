#!/usr/bin/env bash
# OpenDNSSEC's ods-hsmutil: its own test, keys made, listed, shown as DNSKEY and destroyed.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need ods-hsmutil libhsm-bin

rules=(
  's/[0-9a-f]{32}/ID/g; s/\b(257|256) 3 ([0-9]+) [A-Za-z0-9+\/=]+/\1 3 \2 KEY/; s/\{id = [0-9]+/{id = TAG/' # keys made anew
  's/^(\s*(Slot|Serial|Manufacturer|Model|Capacity|Library): ).*/\1/I'                                      # the token's own names
  's/(bit random data... )[0-9]+/\1.../'
)

util() { ods-hsmutil -c conf.xml "$@"; }
made() { util generate demo "$@" | tee generated; }
made_id() { sed -nE 's/.*: ([0-9a-f]{32}).*/\1/p' generated | tail -n 1; }
# The DNSKEY is that of the public key in the token.
same_key() {
  pkcs11-tool --module "$module" --token-label "$label" --login --pin "$pin" --read-object --type pubkey --id "$1" \
    --output-file public.der 2>/dev/null
  python3 - public.der "$(grep -oE '3 [0-9]+ [A-Za-z0-9+/=]+' dnskey | cut -d ' ' -f 3-)" <<'PYTHON'
import base64, subprocess, sys
der, wire = open(sys.argv[1], "rb").read(), base64.b64decode(sys.argv[2])
text = subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-in", sys.argv[1], "-noout", "-text"], capture_output=True, text=True, check=True).stdout
# RFC 3110: exponent and modulus; RFC 6605: the point without its first byte. Either ends in the bytes that the DER holds.
tail = wire[-64:] if "Public-Key: (256 bit)" in text else wire[4:]
sys.exit(0 if tail in der else "another key")
PYTHON
}

client() {
  printf '%s\n' '<?xml version="1.0" encoding="UTF-8"?>' '<Configuration><RepositoryList><Repository name="demo">' \
    "<Module>$module</Module><TokenLabel>$label</TokenLabel><PIN>$pin</PIN>" '</Repository></RepositoryList>' \
    '<Common><Logging><Syslog><Facility>local0</Facility></Syslog></Logging>' \
    '<PolicyFile>kasp.xml</PolicyFile><ZoneListFile>zonelist.xml</ZoneListFile></Common></Configuration>' >conf.xml
  step 'repositories' util info
  step 'no keys' util list
  local kind
  for kind in 'rsa 2048 8' 'ecdsa 256 13'; do
    read -r kind size algorithm <<<"$kind"
    step "make a key $kind $size" made "$kind" "$size"
    step 'keys' util list demo
    # shellcheck disable=SC2016 # the inner shell's
    step 'its DNSKEY' bash -c 'ods-hsmutil -c conf.xml dnskey "$1" example.org. 257 "$2" | tee dnskey' - "$(made_id)" "$algorithm"
    step 'is that of the key in the token' same_key "$(made_id)"
    step 'destroy it' util remove "$(made_id)"
    step 'no keys' util list demo
  done
  ! $long || attempt 'its own test' util test demo
  made rsa 1024 >/dev/null 2>&1
  step 'destroy all' util -f purge demo
  step 'no keys' util list demo
}

on_both client
