#!/usr/bin/env bash
# OpenSC's pkcs11-tool: its own tests, every type of key it can make, every mechanism it can use.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

rules=(
  # Which slot the token sits in, and what it is called, is the group's own business.
  's/^(Using slot [0-9]+ with a present token) \(0x[0-9a-f]+\)/\1/'
  's/^(Slot 0) \(0x[0-9a-f]+\): .*/\1/'
  's/^(  token (manufacturer|model) +|  serial num +|Manufacturer +|Library +|Cryptoki version +):? *.*/\1/'
  # SoftHSM shows the slot where the next token would be made; a group makes none.
  '/^Slot 1 \(0x1\): SoftHSM slot ID 0x1$/,+1d'
  # Random values, and handles.
  's/^(  EC_POINT: +[0-9a-f]{4}).*/\1.../'
  's/^(  VALUE: +)[0-9a-f]+$/\1.../'
  '/^              [0-9a-f]+$/d'
  's/^Data object [0-9]+$/Data object/'
)

tool() { pkcs11-tool --module "$module" --token-label "$label" --login --pin "$pin" "$@"; }
listed() { tool --list-objects "$@" | in_order '^[^ ]'; }

# The keys that both sides import; what is deterministic must then be the same to the byte.
mkdir "$folder/keys"
data=$folder/keys/short
large=$folder/keys/large
block=$folder/keys/block
printf 'a message to be signed' >"$data"
head -c 10000 <(yes 'a message of more than one part') >"$large"
head -c 256 "$large" >"$block"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$folder/keys/rsa.pem"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/keys/ec.pem"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/keys/peer.pem"
for key in rsa ec peer; do
  openssl pkey -in "$folder/keys/$key.pem" -outform DER -out "$folder/keys/$key.der"
  openssl pkey -in "$folder/keys/$key.pem" -pubout -out "$folder/keys/$key.pub.pem"
  openssl pkey -in "$folder/keys/$key.pem" -pubout -outform DER -out "$folder/keys/$key.pub.der"
done
openssl req -x509 -key "$folder/keys/rsa.pem" -subj /CN=demo -days 30 -outform DER -out "$folder/keys/cert.der"
head -c 32 /dev/urandom >"$folder/keys/aes"

# import KEY ID
import() {
  step "import the private key $1" tool --write-object "$folder/keys/$1.der" --type privkey --id "$2" --label "$1" \
    --extractable --usage-sign --usage-decrypt --usage-derive
  step "import the public key $1" tool --write-object "$folder/keys/$1.pub.der" --type pubkey --id "$2" --label "$1"
}

# What pkcs11-tool reads in one piece is one C_Sign; of more it makes a multi-part operation.
files=("$data")
! $long || files+=("$large")

# signed MECHANISM ID FILE OPTION...: signs, and has the token verify.
signed() {
  local mechanism=$1 id=$2 file=$3
  shift 3
  rm -f signature
  attempt "sign with $mechanism $*" tool --sign --mechanism "$mechanism" --id "$id" --input-file "$file" --output-file signature "$@"
  ((attempted == 0)) || return 0
  attempt "verify with $mechanism $*" tool --verify --mechanism "$mechanism" --id "$id" --input-file "$file" --signature-file signature "$@"
}

# by_openssl KEY FILE OPTION...: OpenSSL must accept the signature; hashed there.
by_openssl() {
  local key=$1 file=$2
  shift 2
  [[ ! -f signature ]] || step "OpenSSL verifies" openssl dgst -verify "$folder/keys/$key.pub.pem" -signature signature "$@" "$file"
}

signatures() {
  local hash file
  head -c 32 "$large" >digest
  signed RSA-PKCS 01 "$data"
  step 'the signature' sha256sum signature
  signed RSA-X-509 01 "$block"
  for file in "${files[@]}"; do
    for hash in MD5 SHA1 SHA224 SHA256 SHA384 SHA512; do
      signed "$hash-RSA-PKCS" 01 "$file"
      by_openssl rsa "$file" "-${hash,,}"
      step 'the signature' sha256sum signature
      [[ $hash != MD5 ]] || continue
      signed "$hash-RSA-PKCS-PSS" 01 "$file"
      by_openssl rsa "$file" "-${hash,,}" -sigopt rsa_padding_mode:pss
    done
  done
  signed SHA256-RSA-PKCS 01 "$large"
  by_openssl rsa "$large" -sha256
  signed RSA-PKCS-PSS 01 digest --hash-algorithm SHA256
  ((attempted != 0)) || step 'OpenSSL verifies' openssl pkeyutl -verify -pubin -inkey "$folder/keys/rsa.pub.pem" -in digest \
    -sigfile signature -pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss
  signed ECDSA 02 digest --signature-format openssl
  step 'OpenSSL verifies' openssl pkeyutl -verify -pubin -inkey "$folder/keys/ec.pub.pem" -in digest -sigfile signature
  for hash in SHA1 SHA224 SHA256 SHA384 SHA512; do
    signed "ECDSA-$hash" 02 "$data" --signature-format openssl
    ((attempted != 0)) || by_openssl ec "$data" "-${hash,,}"
  done
}

# ciphered MECHANISM ID FILE OPTION...: encrypts and decrypts again.
ciphered() {
  local mechanism=$1 id=$2 file=$3
  shift 3
  rm -f ciphertext plaintext
  attempt "encrypt with $mechanism" tool --encrypt --mechanism "$mechanism" --id "$id" --input-file "$file" --output-file ciphertext "$@"
  ((attempted == 0)) || return 0
  attempt "decrypt with $mechanism" tool --decrypt --mechanism "$mechanism" --id "$id" --input-file ciphertext --output-file plaintext "$@"
  ((attempted != 0)) || step 'the same again' cmp plaintext "$file"
}

# by_openssl_mac KIND FILE OPTION...: OpenSSL must come to the same.
by_openssl_mac() {
  [[ -f signature ]] || return 0
  openssl mac -binary -in "$2" -out mac.openssl "${@:3}" "$1"
  step 'OpenSSL comes to the same' cmp mac.openssl signature
}

secrets() {
  local mechanism file length iv=000102030405060708090a0b0c0d0e0f aes
  aes=$(hex "$folder/keys/aes")
  step 'import an AES key' tool --write-object "$folder/keys/aes" --type secrkey --key-type AES: --id 11 --label aes --extractable \
    --usage-decrypt --usage-wrap
  # It imports no generic secrets; one that it made, and not sensitive, can be read.
  step 'make an HMAC key' tool --keygen --key-type GENERIC:64 --id 12 --label hmac --extractable --usage-sign
  step 'read it' tool --read-object --type secrkey --id 12 --output-file hmac
  for file in "$block" "${files[@]:1}"; do
    for mechanism in AES-ECB AES-CBC AES-CBC-PAD AES-CTR AES-GCM; do
      ciphered "$mechanism" 11 "$file" --iv "$iv"
      [[ ! -f ciphertext ]] || step 'the ciphertext' sha256sum ciphertext
      case $mechanism in
        AES-ECB) step 'OpenSSL decrypts' openssl enc -d -aes-256-ecb -nopad -K "$aes" -in ciphertext -out plain ;;
        AES-CBC) step 'OpenSSL decrypts' openssl enc -d -aes-256-cbc -nopad -K "$aes" -iv "$iv" -in ciphertext -out plain ;;
        AES-CBC-PAD) step 'OpenSSL decrypts' openssl enc -d -aes-256-cbc -K "$aes" -iv "$iv" -in ciphertext -out plain ;;
        *) continue ;;
      esac
      step 'to the same' cmp plain "$file"
    done
  done
  for mechanism in SHA-1-HMAC SHA256-HMAC SHA384-HMAC SHA512-HMAC; do
    for file in "${files[@]}"; do
      signed "$mechanism" 12 "$file"
      by_openssl_mac HMAC "$file" -macopt "digest:$(tr -d - <<<"${mechanism%-HMAC}")" -macopt "hexkey:$(hex hmac)"
    done
  done
  step 'import an AES key for CMAC' tool --write-object "$folder/keys/aes" --type secrkey --key-type AES: --id 13 --label cmac \
    --extractable --usage-sign
  signed AES-CMAC 13 "$data"
  by_openssl_mac CMAC "$data" -macopt cipher:AES-256-CBC -macopt "hexkey:$aes"
  for mechanism in MD5 SHA-1 SHA224 SHA256 SHA384 SHA512; do
    for file in "${files[@]}"; do
      step "hash with $mechanism" tool --hash --mechanism "$mechanism" --input-file "$file" --output-file hash
      step 'the hash' hex hash
      openssl dgst "-$(tr -d - <<<"${mechanism,,}")" -binary -out hash.openssl "$file"
      step 'OpenSSL hashes to the same' cmp hash.openssl hash
    done
  done
  for length in 1 32 5000; do
    step "$length random bytes" tool --generate-random "$length" --output-file random
    step 'as many' stat --format=%s random
  done
}

decryption() {
  local hash
  openssl pkeyutl -encrypt -pubin -inkey "$folder/keys/rsa.pub.pem" -in "$data" -out "$folder/$side/pkcs1"
  openssl pkeyutl -encrypt -pubin -inkey "$folder/keys/rsa.pub.pem" -in "$block" -pkeyopt rsa_padding_mode:none -out "$folder/$side/raw"
  step 'decrypt with RSA-PKCS' tool --decrypt --mechanism RSA-PKCS --id 01 --input-file "$folder/$side/pkcs1" --output-file plaintext
  step 'to what OpenSSL encrypted' cmp plaintext "$data"
  step 'decrypt with RSA-X-509' tool --decrypt --mechanism RSA-X-509 --id 01 --input-file "$folder/$side/raw" --output-file plaintext
  step 'to what OpenSSL encrypted' cmp plaintext "$block"
  for hash in SHA-1 SHA256; do
    openssl pkeyutl -encrypt -pubin -inkey "$folder/keys/rsa.pub.pem" -in "$data" -pkeyopt rsa_padding_mode:oaep \
      -pkeyopt "rsa_oaep_md:${hash/-/}" -out "$folder/$side/oaep"
    attempt "decrypt with RSA-PKCS-OAEP, $hash" tool --decrypt --mechanism RSA-PKCS-OAEP --hash-algorithm "$hash" --id 01 \
      --input-file "$folder/$side/oaep" --output-file plaintext
    ((attempted != 0)) || step 'to what OpenSSL encrypted' cmp plaintext "$data"
  done
  attempt 'derive with ECDH1-DERIVE' tool --derive --mechanism ECDH1-DERIVE --id 02 --input-file "$folder/keys/peer.pub.der" \
    --output-file shared
  [[ ! -f shared ]] || {
    openssl pkeyutl -derive -inkey "$folder/keys/peer.pem" -peerkey "$folder/keys/ec.pub.pem" -out "$folder/$side/secret"
    step 'to what OpenSSL derives' cmp shared "$folder/$side/secret"
  }
}

wrapping() {
  local mechanism id=20
  for mechanism in RSA-PKCS RSA-PKCS-OAEP AES-KEY-WRAP 0x210A AES-CBC AES-CBC-PAD; do
    rm -f wrapped
    id=$((id + 1))
    attempt "wrap with $mechanism" tool --wrap --mechanism "$mechanism" --id "$([[ $mechanism == RSA* ]] && echo 01 || echo 11)" \
      --application-id 12 --output-file wrapped
    [[ ! -s wrapped ]] || attempt "unwrap with $mechanism" tool --unwrap --mechanism "$mechanism" \
      --id "$([[ $mechanism == RSA* ]] && echo 01 || echo 11)" --input-file wrapped --key-type GENERIC: --application-id "$id" \
      --application-label unwrapped --extractable
  done
}

# ec_public CURVE: public.pem from what the listing says; for most curves pkcs11-tool itself cannot write it.
ec_public() {
  local point
  point=$(tool --list-objects --type pubkey --id 30 2>/dev/null | awk -v RS='Public Key Object' -v label="$1" '
    $0 ~ "label: +EC:" label "\n" { sub(/.*EC_POINT: +/, ""); sub(/\n.*/, ""); print }' | sed -E 's/^04(81)?..//')
  printf '%s\n' asn1=SEQUENCE:key '[key]' algorithm=SEQUENCE:algorithm "point=FORMAT:HEX,BITSTRING:$point" '[algorithm]' \
    type=OID:id-ecPublicKey "curve=OID:${1/secp192r1/prime192v1}" >public.conf
  openssl asn1parse -genconf public.conf -noout -out public.der
  openssl pkey -pubin -inform DER -in public.der -out public.pem
}

# pair TYPE: a key pair is made, listed, used, and destroyed.
pair() {
  attempt "make a pair $1" tool --keypairgen --key-type "$1" --id 30 --label "$1" --extractable --usage-sign
  ((attempted == 0)) || return 0
  step 'private keys' listed --type privkey
  step 'public keys' listed --type pubkey
  rm -f public.der public.pem signature
  attempt 'read the public half' tool --read-object --type pubkey --id 30 --output-file public.der
  case $1 in
    RSA:*)
      step 'sign' tool --sign --mechanism SHA256-RSA-PKCS --id 30 --input-file "$data" --output-file signature
      step 'OpenSSL verifies' openssl dgst -sha256 -keyform DER -verify public.der -signature signature "$data"
      ;;
    EC:*25519)
      attempt 'sign' tool --sign --mechanism EDDSA --id 30 --input-file "$data" --output-file signature
      ;;
    EC:*)
      head -c 24 "$large" >digest
      step 'sign' tool --sign --mechanism ECDSA --signature-format openssl --id 30 --input-file digest --output-file signature
      step 'its public half' ec_public "${1#EC:}"
      step 'OpenSSL verifies' openssl pkeyutl -verify -pubin -inkey public.pem -in digest -sigfile signature
      ;;
  esac
  step 'destroy the private half' tool --delete-object --type privkey --id 30
  step 'destroy the public half' tool --delete-object --type pubkey --id 30
}

key_types() {
  local type
  local pairs=(RSA:1024 EC:secp384r1 EC:edwards25519)
  ! $long || pairs+=(RSA:2048 RSA:3072 RSA:4096 EC:prime256v1 EC:secp192r1 EC:secp224r1 EC:secp256k1 EC:secp521r1 EC:brainpoolP256r1
    EC:brainpoolP384r1 EC:brainpoolP512r1 EC:curve25519 GOSTR3410-2012-256:B)
  for type in "${pairs[@]}"; do pair "$type"; done
  # DES last: where SoftHSM refuses to make a key, as it does here, half of one stays behind; in a group none does.
  for type in AES:16 AES:24 AES:32 GENERIC:16 GENERIC:64 DES:8 DES3:24; do
    attempt "make a key $type" tool --keygen --key-type "$type" --id 40 --label "$type" --extractable
    ((attempted == 0)) || continue
    step 'secret keys' listed --type secrkey
    step 'destroy it' tool --delete-object --type secrkey --id 40
    step 'secret keys' listed --type secrkey
  done
}

objects() {
  step 'write a certificate' tool --write-object "$folder/keys/cert.der" --type cert --id 01 --label cert
  step 'read it' tool --read-object --type cert --id 01 --output-file cert.der
  step 'it is the same' cmp cert.der "$folder/keys/cert.der"
  step 'write data' tool --write-object "$block" --type data --label data --application-label test --private
  step 'list it' tool --list-objects --type data
  step 'read it' tool --read-object --type data --label data --output-file data
  step 'it is the same' cmp data "$block"
  step 'give the certificate another ID' tool --type cert --id 01 --set-id 0a
  step 'list it' tool --list-objects --type cert
  step 'destroy it' tool --delete-object --type cert --id 0a
  step 'destroy the data' tool --delete-object --type data --label data
}

client() {
  step 'about the library' pkcs11-tool --module "$module" --show-info
  step 'the token' pkcs11-tool --module "$module" --list-token-slots
  step 'mechanisms' pkcs11-tool --module "$module" --token-label "$label" --list-mechanisms
  # SoftHSM takes OAEP with SHA-1 only, and there the test ends.
  attempt 'its own tests, on an empty token' tool --test
  import rsa 01
  attempt 'its own tests, with keys' tool --test
  import ec 02
  step 'its own test of forks' pkcs11-tool --module "$module" --token-label "$label" --test-fork
  key_types
  signatures
  secrets
  decryption
  wrapping
  objects
  step 'change the PIN' tool --change-pin --new-pin 87654321-new
  step 'and back' pkcs11-tool --module "$module" --token-label "$label" --login --pin 87654321-new --change-pin --new-pin "$pin"
  attempt 'set the PIN as SO' pkcs11-tool --module "$module" --token-label "$label" --login --login-type so --so-pin "$so_pin" \
    --init-pin --new-pin "$pin"
  attempt 'a wrong PIN' pkcs11-tool --module "$module" --token-label "$label" --login --pin wrong-pin --list-objects
  step 'the right one after it' tool --list-objects --type cert
}

on_both client
