#!/usr/bin/env bash
# OpenSSL's pkcs11 engine: requests, certificates, signatures, CMS, and s_server with clients.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/clients/servers.sh
source "$source_dir/tests/clients/servers.sh"

rules=(
  's/^(Using slot [0-9]+ with a present token) \(0x[0-9a-f]+\)/\1/' # the slot
  's/^(  EC_POINT: +[0-9a-f]{4}).*/\1.../'                         # the key is made anew on each side
)
printf 'what is signed\n' >"$folder/data"

uses() { # uses NAME KIND ID
  local key
  key=$(key_uri "$1")
  step "a key $2" server_key "$1" "$2" "$3"
  step 'self-signed certificate' openssl req -engine pkcs11 -keyform engine -key "$key" -new -x509 -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:true -out cert.pem
  step 'verified' openssl verify -no-CApath -CAfile cert.pem cert.pem
  step 'request' openssl req -engine pkcs11 -keyform engine -key "$key" -new -subj /CN=request -out request.pem
  step 'verified' request_verifies request.pem
  step 'certificate' openssl x509 -engine pkcs11 -req -in request.pem -CA cert.pem -CAkey "$key" -CAkeyform engine -days 20 \
    -set_serial 7 -out issued.pem
  step 'verified' openssl verify -no-CApath -CAfile cert.pem issued.pem
  openssl x509 -in cert.pem -noout -pubkey >public.pem
  for hash in sha256 sha384 sha512; do
    step "sign with $hash" openssl dgst -engine pkcs11 -keyform engine -"$hash" -sign "$key" -out signature "$folder/data"
    step 'verified' openssl dgst -"$hash" -verify public.pem -signature signature "$folder/data"
  done
  step 'CMS' openssl cms -engine pkcs11 -keyform engine -sign -binary -nodetach -md sha256 -signer cert.pem -inkey "$key" \
    -in "$folder/data" -outform PEM -out signed.cms
  step 'verified' openssl cms -verify -binary -inform PEM -in signed.cms -CAfile cert.pem -purpose any -out content
  step 'the same' cmp content "$folder/data"
  [[ $2 == RSA* ]] || return 0
  step 'RSA-PSS' openssl dgst -engine pkcs11 -keyform engine -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest \
    -sign "$key" -out signature "$folder/data"
  step 'verified' openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify public.pem -signature signature "$folder/data"
  step 'encrypted CMS' openssl cms -encrypt -binary -aes256 -in "$folder/data" -outform PEM -out encrypted.cms cert.pem
  step 'decrypted' openssl cms -engine pkcs11 -keyform engine -decrypt -binary -inform PEM -in encrypted.cms -recip cert.pem \
    -inkey "$key" -out content
  step 'the same' cmp content "$folder/data"
}

s_server() { # s_server NAME OPTION... PORT
  exec openssl s_server -engine pkcs11 -keyform engine -key "$(key_uri "$1")" -cert cert.pem -www -quiet "${@:2:$#-2}" \
    -accept "127.0.0.1:${*: -1}"
}

serves() { # serves NAME OPTION...
  serve s_server "$@"
  step "handshakes $*" handshakes cert.pem 4 20
  step 's_client' openssl s_client -brief -verify_return_error -CAfile cert.pem -servername localhost -connect "127.0.0.1:$port" </dev/null
  ended "$server"
}

client() {
  engine_conf
  uses rsa RSA:2048 01
  serves rsa
  ! $long || serves rsa -tls1_2
  uses ec EC:prime256v1 02
  serves ec
  ! $long || serves ec -tls1_2
}

survives() {
  engine_conf
  serve s_server ec
  outage handshakes.out python3 "$source_dir/tests/clients/handshakes.py" "$port" cert.pem 2 -
  ended "$server"
}

on_both client
in_group survives
