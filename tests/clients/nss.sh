#!/usr/bin/env bash
# NSS: modutil adds the module to a database, certutil makes keys, requests and certificates in the token, cmsutil and
# selfserv use them.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/clients/servers.sh
source "$source_dir/tests/clients/servers.sh"
need modutil libnss3-tools
need certutil libnss3-tools

rules=(
  # SoftHSM shows the slot where the next token would be made; a group makes none.
  '/^  Slot: SoftHSM slot ID 0x1$/,/^$/d'
  # What a slot and a token call themselves.
  's/^(\s*(Slot|Manufacturer|Token Manufacturer|Token Model|Token Serial Number|Version Number|Firmware Version|Description|Library Version):).*/\1/'
  's/^(PKCS #11 Version ).*/\1/; s/in slot "[^"]*"/in slot/'
  's/^(\s*Serial Number: ).*/\1/'
)

db() { printf 'sql:%s' "$PWD/db"; }
cert() { certutil "$@" -d "$(db)" -h "$label" -f pin; } # certutil on the token
private_keys() { cert -K | sed -E 's/^<[^>]*>//; s/[0-9a-f]{40}/HASH/' | sort; } # the hash is of a key made anew
certificates() { cert -L | sort; }

client() {
  printf '%s:%s\n' "$label" "$pin" >pin
  head -c 4096 /dev/urandom >noise
  mkdir db
  step 'database' certutil -N -d "$(db)" --empty-password
  step 'add the module' modutil -force -dbdir "$(db)" -add p11ha -libfile "$module"
  step 'modules' modutil -dbdir "$(db)" -list p11ha
  step 'make an authority' cert -S -n ca -s CN=authority -x -t CT,C,C -k ec -q nistp256 -z noise -v 1 -m 1 -2 <<<$'y\n-1\ny'
  step 'private keys' private_keys
  step 'certificates' certificates
  step 'make an RSA request' cert -R -k rsa -g 2048 -s CN=localhost -8 localhost -z noise -a -o rsa.csr
  step 'OpenSSL verifies it' request_verifies rsa.csr
  step 'make an EC request' cert -R -k ec -q nistp384 -s CN=localhost -8 localhost -z noise -a -o ec.csr
  step 'OpenSSL verifies it' request_verifies ec.csr
  step 'the certificate of the authority' cert -L -n "$label:ca" -a -o ca.pem
  step 'OpenSSL verifies it' openssl verify -no-CApath -CAfile ca.pem -check_ss_sig ca.pem
  # certutil -C gives no PIN when it looks for the authority's key, which fails with any token that wants one.
  openssl req -x509 -newkey rsa:2048 -noenc -keyout ca.key -subj /CN=other -days 30 -out ca.pem 2>/dev/null
  step 'trust the other authority' certutil -A -n other -t CT,C,C -a -i ca.pem -d "$(db)"
  for key in rsa ec; do
    openssl x509 -req -in "$key.csr" -CA ca.pem -CAkey ca.key -days 20 -copy_extensions copyall -out "$key.pem" 2>/dev/null
    step 'OpenSSL verifies it' openssl verify -no-CApath -CAfile ca.pem "$key.pem"
    step 'into the token' cert -A -n "server-$key" -t u,u,u -a -i "$key.pem"
    step 'out again' cert -L -n "$label:server-$key" -a -o again.pem
    # shellcheck disable=SC2016 # the inner shell's
    step 'the same' bash -c 'cmp <(openssl x509 -in "$1") <(openssl x509 -in again.pem)' - "$key.pem"
  done
  step 'private keys' private_keys
  step 'certificates' certificates
  printf 'what is signed\n' >data
  for key in rsa ec; do
    step "CMS, $key" cmsutil -S -G -N "$label:server-$key" -d "$(db)" -f pin -i data -o signed.cms -H SHA256
    step 'OpenSSL verifies it' openssl cms -verify -binary -inform DER -in signed.cms -CAfile ca.pem -purpose any -out content
    step 'the same' cmp content data
  done
  step 'encrypted CMS' openssl cms -encrypt -binary -aes256 -in data -outform DER -out encrypted.cms rsa.pem
  step 'decrypted' cmsutil -D -d "$(db)" -f pin -i encrypted.cms -o content
  step 'the same' cmp content data
  step 'destroy a certificate' cert -D -n "$label:server-ec"
  step 'destroy its key' cert -F -n "$label:ca"
  step 'private keys' private_keys
  step 'take the module away' modutil -force -dbdir "$(db)" -delete p11ha
}

on_both client
