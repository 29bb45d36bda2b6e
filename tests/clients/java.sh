#!/usr/bin/env bash
# Java's SunPKCS11: keytool, jarsigner, and a program of ours, with 16 threads that sign.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/clients/servers.sh
source "$source_dir/tests/clients/servers.sh"
need javac openjdk-17-jdk-headless
need keytool openjdk-17-jdk-headless
need jarsigner openjdk-17-jdk-headless

rules=(
  's/SHA-?256\): ([0-9A-F]{2}:?)+/SHA-256): .../; s/(SHA1|SHA256): ([0-9A-F]{2}:?)+/\1: .../' # fingerprints of keys made anew
  's/^(Serial number: ).*/\1.../'
  's/[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{8} UTC [0-9]{4}/TIME/g'
  's/[A-Z][a-z]{2} [0-9]{1,2}, [0-9]{4}/TIME/g; s/[0-9]{4}-[0-9]{2}-[0-9]{2}/TIME/g'
  '/^[0-9A-F]{4}: ([0-9A-F]{2}[- ])+/d' # key identifiers
)

mkdir "$folder/classes"
javac -d "$folder/classes" "$source_dir/tests/clients/Signing.java"

configure() { printf '%s\n' 'name = p11ha' "library = $module" 'slotListIndex = 0' >p11ha.cfg; }
quick_java=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)
tool() {
  keytool "${quick_java[@]/#/-J}" "$@" -keystore NONE -storetype PKCS11 -storepass "$pin" -providerClass sun.security.pkcs11.SunPKCS11 -providerArg p11ha.cfg
}
signer() {
  jarsigner "${quick_java[@]/#/-J}" -keystore NONE -storetype PKCS11 -storepass "$pin" -providerClass sun.security.pkcs11.SunPKCS11 \
    -providerArg p11ha.cfg "$@"
}
program() { exec java "${quick_java[@]}" -cp "$folder/classes" Signing p11ha.cfg "$pin" "$@"; }
listed() { tool -list | in_order '^[a-z]+, '; }
# OpenSSL verifies the signature in a JAR: the block is CMS over the .SF file.
jar_verifies() {
  rm -rf jar && mkdir jar
  (cd jar && jar xf ../signed.jar)
  openssl cms -verify -binary -inform DER -in jar/META-INF/"$1" -content jar/META-INF/"${1%.*}.SF" -CAfile "$2.pem" -purpose any -out content
}
signs() { # signs ALIAS ALGORITHM
  (program sign "$1" "$2" 16 "$signatures") >signatures.out 2>&1
  sort signatures.out | uniq -c
  ! grep -v '^ok$' signatures.out
}

signatures=200
! $long || signatures=5000

client() {
  configure
  printf 'content\n' >file
  step 'make an EC key' tool -genkeypair -alias ec -keyalg EC -groupname secp256r1 -dname CN=ec -validity 30
  step 'make an RSA key' tool -genkeypair -alias rsa -keyalg RSA -keysize 2048 -dname CN=rsa -validity 30
  step 'list' listed
  for key in ec rsa; do
    step 'certificate' tool -exportcert -rfc -alias "$key" -file "$key.pem"
    step 'OpenSSL verifies it' openssl verify -no-CApath -CAfile "$key.pem" -check_ss_sig "$key.pem"
    step 'request' tool -certreq -alias "$key" -file "$key.csr"
    step 'OpenSSL verifies it' request_verifies "$key.csr"
    step 'a JAR' jar cfM unsigned.jar file
    step 'sign it' signer -sigfile signer -signedjar signed.jar unsigned.jar "$key"
    step 'jarsigner verifies it' jarsigner -verify signed.jar
    step 'OpenSSL verifies it' jar_verifies "SIGNER.${key^^}" "$key"
  done
  step 'everything once' bash -c 'exec "$@"' - java "${quick_java[@]}" -cp "$folder/classes" Signing p11ha.cfg "$pin" once
  step '16 threads sign, EC' signs ec SHA256withECDSA
  step '16 threads sign, RSA' signs rsa SHA256withRSA
  step 'a key to destroy' tool -genkeypair -alias short -keyalg EC -groupname secp256r1 -dname CN=short -validity 30
  step 'destroy it' tool -delete -alias short
  step 'list' listed
}

# An RSA key is made by the JDK itself and imported, so it reaches all members. (Of an EC key, which the token makes, keytool
# leaves no public half that would tell another process which private keys are the same.)
survives() {
  configure
  tool -genkeypair -alias everywhere -keyalg RSA -keysize 2048 -dname CN=everywhere -validity 30
  outage signatures.out program sign everywhere SHA256withRSA 16 -
}

on_both client
in_group survives
