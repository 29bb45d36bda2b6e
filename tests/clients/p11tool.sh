#!/usr/bin/env bash
# GnuTLS's p11tool: keys made, imported, listed, renamed, used, exported and destroyed.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need p11tool gnutls-bin

rules=(
  # How a token calls itself.
  's/(model=|manufacturer=|serial=)[^;]*/\1/g'
  's/^(\s*(Manufacturer|Model|Serial): ).*/\1/'
  # Of these SoftHSM adds the flags to what it finds in the caller's memory, where p11tool left those of another mechanism.
  '/CKM_(AES|DES3?)_(CBC_PAD|CTR|ECB|GCM) /s/ decrypt .*/ decrypt/'
  # p11tool gives a secret key a random ID.
  's/^(\s*ID: )([0-9a-f]{2}:){15}.*/\1/'
  's/;id=[^;]*(;object=secret;)/\1/'
)
url=pkcs11:token=$label

tool() { GNUTLS_PIN=$pin GNUTLS_SO_PIN=$so_pin p11tool --provider "$module" --login "$@"; }
# listed OPTION: the objects that p11tool lists, which a token may give in any order.
listed() { tool "$1" "$url" | sed -E 's/^Object [0-9]+:/Object:/' | in_order '^Object:'; }

mkdir "$folder/keys"
for key in rsa ec; do
  options=()
  [[ $key == rsa ]] || options=(-pkeyopt ec_paramgen_curve:P-256)
  openssl genpkey -quiet -algorithm "${key^^}" "${options[@]}" -out "$folder/keys/$key.pem"
  openssl pkey -in "$folder/keys/$key.pem" -pubout -out "$folder/keys/$key.pub.pem"
  openssl req -x509 -key "$folder/keys/$key.pem" -subj "/CN=$key" -days 30 -out "$folder/keys/$key.cert.pem"
done

# same FILE KEY: FILE holds that public key.
same_public() { openssl pkey -pubin -in "$1" -pubout | cmp - "$folder/keys/$2.pub.pem"; }
same_certificate() { openssl x509 -in "$1" | cmp - "$folder/keys/$2.cert.pem"; }

# made KIND OPTION...: a key of that kind is made by the token.
made() {
  local kind=$1
  shift
  step "make a pair $kind $*" tool --generate-privkey="$kind" "$@" --label "made-$kind" --id 0a --outfile public.pem "$url"
  attempt 'objects' listed --list-all
  step 'test it' tool --test-sign "$url;object=made-$kind;type=private"
  step 'export its public half' tool --export-pubkey --outfile exported.pem "$url;object=made-$kind;type=private"
  step 'it is what was said to be made' cmp public.pem exported.pem
  step 'OpenSSL reads it' openssl pkey -pubin -in exported.pem -noout
  step 'destroy it' tool --batch --delete "$url;object=made-$kind"
  attempt 'objects' listed --list-all
}

client() {
  local key
  step 'tokens' p11tool --provider "$module" --list-tokens
  step 'URLs' p11tool --provider "$module" --list-token-urls
  step 'mechanisms' p11tool --provider "$module" --list-mechanisms "$url"
  step 'random bytes' tool --generate-random 64 --outfile random "$url"
  step 'as many' stat --format=%s random
  made rsa --bits 2048
  made ecdsa --curve secp256r1
  if $long; then
    made ecdsa --curve secp384r1
    made ecdsa --curve secp521r1
    made rsa --bits 3072
    attempt 'make a pair ed25519' tool --generate-privkey=ed25519 --label made-ed25519 --id 0b --outfile public.pem "$url"
    attempt 'test it' tool --test-sign "$url;object=made-ed25519;type=private"
    attempt 'destroy it' tool --batch --delete "$url;object=made-ed25519"
  fi
  for key in rsa ec; do
    step "import the private key $key" tool --write --load-privkey "$folder/keys/$key.pem" --label "$key" --id "0${#key}" "$url"
    step "import its public half" tool --write --load-pubkey "$folder/keys/$key.pub.pem" --label "$key" --id "0${#key}" "$url"
    step "import a certificate" tool --write --load-certificate "$folder/keys/$key.cert.pem" --label "$key" --id "0${#key}" "$url"
    attempt 'objects' listed --list-all
    step 'test the key' tool --test-sign "$url;object=$key;type=private"
    step 'test it with SHA-512' tool --test-sign --hash=SHA512 "$url;object=$key;type=private"
    step 'export the public half' tool --export --outfile public.pem "$url;object=$key;type=public"
    step 'it is the same' same_public public.pem "$key"
    step 'export the certificate' tool --export --outfile cert.pem "$url;object=$key;type=cert"
    step 'it is the same' same_certificate cert.pem "$key"
    attempt 'the private half stays' tool --export --outfile private.pem "$url;object=$key;type=private"
  done
  step 'test RSA-PSS' tool --test-sign --sign-params=RSA-PSS "$url;object=rsa;type=private"
  step 'a secret key' tool --write --secret-key=000102030405060708090a0b0c0d0e0f --label secret --id 0c "$url"
  step 'rename a key' tool --batch --set-label=renamed "$url;object=rsa;type=private"
  step 'give it another ID' tool --batch --set-id=0d "$url;object=renamed;type=private"
  step 'certificates that have a key' listed --list-certs
  # shellcheck disable=SC2016 # the inner shell's
  step 'certificates' bash -c 'p11tool --provider "$1" --list-all-certs --only-urls "$2" | sort' - "$module" "$url"
  attempt 'objects' listed --list-all
  step 'as the Security Officer, a trusted certificate' tool --so-login --write --load-certificate "$folder/keys/rsa.cert.pem" \
    --mark-trusted --mark-ca --label trusted "$url"
  step 'trusted certificates' listed --list-all-trusted
  attempt 'a wrong PIN' env GNUTLS_PIN=wrong-pin p11tool --provider "$module" --batch --login --list-all "$url"
}

on_both client
