#!/usr/bin/env bash
# GnuTLS's certtool: a certification authority, requests, CRLs and signatures with keys in the token.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need certtool gnutls-bin
need p11tool gnutls-bin

rules=(
  # The keys, and with them serials, times and signatures, are made anew on each side.
  's/^(\s*Serial Number[^:]*:).*/\1/'
  's/[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9 ]{2} [0-9:]{8} UTC [0-9]{4}/TIME/'
  '/^\s*([0-9a-f]{2}:)*[0-9a-f]{2}:?$/d'
  '/^\s*([0-9a-f]{40}|[0-9a-f]{64})$/d'
  's/(sha1|sha256):[0-9a-f]+/\1:.../; s/pin-sha256:.*/pin-sha256:.../'
)
url=pkcs11:token=$label

tool() { GNUTLS_PIN=$pin certtool --provider "$module" "$@"; }
token() { GNUTLS_PIN=$pin p11tool --provider "$module" --login "$@"; }
# key_pair NAME KIND ID
key_pair() {
  pkcs11-tool --module "$module" --token-label "$label" --login --pin "$pin" --keypairgen --key-type "$2" --label "$1" --id "$3" \
    --extractable --usage-sign >/dev/null 2>&1
}

printf '%s\n' 'cn = "demo CA"' ca cert_signing_key crl_signing_key 'expiration_days = 60' >"$folder/ca.cfg"
printf '%s\n' 'cn = "demo server"' 'dns_name = "localhost"' tls_www_server signing_key 'expiration_days = 30' 'crl_next_update = 10' \
  'crl_number = 1' >"$folder/server.cfg"
printf 'what is signed\n' >"$folder/data"

# authority KIND ID OPTION...
authority() {
  local name=${1/:/-} kind=$1 id=$2
  shift 2
  step "make keys $kind" key_pair "ca-$name" "$kind" "1$id"
  step 'and for the server' key_pair "server-$name" "$kind" "2$id"
  step 'self-signed certificate' tool --generate-self-signed --load-privkey "$url;object=ca-$name;type=private" \
    --load-pubkey "$url;object=ca-$name;type=public" --template "$folder/ca.cfg" --outfile ca.pem "$@"
  step 'OpenSSL verifies it' openssl verify -CAfile ca.pem ca.pem
  step 'request' tool --generate-request --load-privkey "$url;object=server-$name;type=private" \
    --load-pubkey "$url;object=server-$name;type=public" --template "$folder/server.cfg" --outfile server.csr "$@"
  step 'OpenSSL verifies it' request_verifies server.csr
  step 'certificate' tool --generate-certificate --load-request server.csr --load-ca-privkey "$url;object=ca-$name;type=private" \
    --load-ca-certificate ca.pem --template "$folder/server.cfg" --outfile server.pem "$@"
  step 'OpenSSL verifies it' openssl verify -CAfile ca.pem server.pem
  step 'CRL' tool --generate-crl --load-ca-privkey "$url;object=ca-$name;type=private" --load-ca-certificate ca.pem \
    --load-certificate server.pem --template "$folder/server.cfg" --outfile crl.pem "$@"
  step 'OpenSSL verifies it' openssl crl -in crl.pem -CAfile ca.pem -noout
  step 'PKCS #7' tool --p7-detached-sign --load-privkey "$url;object=server-$name;type=private" --load-certificate server.pem \
    --infile "$folder/data" --outfile data.p7 "$@"
  step 'OpenSSL verifies it' openssl cms -verify -binary -inform PEM -in data.p7 -CAfile ca.pem -purpose any \
    -content "$folder/data" -out signed
  step 'into the token with it' token --write --load-certificate ca.pem --label "ca-$name" --id "1$id" "$url"
  step 'a certificate with all from the token' tool --generate-certificate --load-request server.csr \
    --load-ca-privkey "$url;object=ca-$name;type=private" --load-ca-certificate "$url;object=ca-$name;type=cert" \
    --template "$folder/server.cfg" --outfile server.pem "$@"
  step 'OpenSSL verifies it' openssl verify -CAfile ca.pem server.pem
}

client() {
  authority RSA:2048 1
  authority EC:secp256r1 2
  ! $long || authority EC:secp384r1 3 --hash SHA384
  ! $long || authority RSA:3072 4 --sign-params RSA-PSS --hash SHA256
}

on_both client
