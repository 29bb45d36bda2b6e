#!/usr/bin/env bash
# The main job in one command: an application signs through a group of three members, two of them remote, while one of
# these is killed and comes back.
# shellcheck source=testbed/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'TEXT'
usage: demo.sh [--keep]

Installs what is missing (apt packages by name), builds p11ha, makes three SoftHSM members in a folder of its own, one
local and two behind appliances of their own (p11ha-memberd, mutual TLS), a key pair through the group, and signs while
the appliance of member 2 is killed and started again. Every signature is verified with OpenSSL.

--keep  leave the folder, and say where it is
TEXT
}

keep=
take_options keep "" "$@"

say() { printf '\n== %s\n' "$*"; }

if [[ $build == "$source_dir/build/release" ]]; then
  say "packages and build (build/release)"
  "$source_dir/testbed/packages.sh"
  (cd "$source_dir" && cmake --preset release >/dev/null && cmake --build --preset release | tail -n 1)
fi

make_folder demo
loop=
# shellcheck disable=SC2317 # as the script ends
before_end() {
  [[ -n $keep ]] || return 0
  [[ -z $loop ]] || kill "$loop" 2>/dev/null || true
  printf 'kept: %s\n' "$folder"
  exit
}
# shellcheck disable=SC2317 # by way of wait_for
look_after() { kill -0 "$loop" 2>/dev/null || failed "the application has ended"; }
# shellcheck disable=SC2317 # both by way of wait_for
signed() { [[ -f $folder/signatures/$1.sig ]]; }
count() { find "$folder/signatures" -name '*.sig' | wc -l; }
# shellcheck disable=SC2317
logged() { grep -q -- "$1" "$P11HA_LOG"; }

say "three members, each a fresh SoftHSM token, two of them behind appliances of their own, and one group over them"
make_cluster --local 1 --remote 2
cluster status

say "a key pair, made through the group: the private key may leave no token, and reaches every member by the cloning domain"
# It tells on stderr which slot it chose, too: of interest only where it fails.
tool() {
  pkcs11-tool --module "$P11HA_MODULE" --login --pin env:P11HA_PIN "$@" 2>"$folder/tool.err" ||
    failed "pkcs11-tool: $(cat "$folder/tool.err")"
}
tool --keypairgen --key-type EC:prime256v1 --label demo-key --id 01
tool --read-object --type pubkey --id 01 --output-file "$folder/public.der"
openssl pkey -pubin -inform DER -in "$folder/public.der" -out "$folder/public.pem"

say "an application signs, 100 times a second"
mkdir "$folder/signatures"
mkfifo "$folder/stop"
"$build/bin/p11ha-sign-loop" --key demo-key --out "$folder/signatures" <"$folder/stop" >"$folder/loop.txt" &
loop=$!
exec 9>"$folder/stop"
wait_for 20 signed 50
printf 'signature %4d   all three members serve\n' "$(count)"

cluster kill 2
printf 'signature %4d   kill -9 of the appliance of member 2\n' "$(count)"
wait_for 20 logged "has dropped member: $P11HA_MEMBER_2"
printf 'signature %4d   the group has dropped it\n' "$(count)"
wait_for 20 logged "recovery attempt 1 failed for member: $P11HA_MEMBER_2"
printf 'signature %4d   a first attempt to recover it has failed\n' "$(count)"

cluster start 2
printf 'signature %4d   the appliance is started again\n' "$(count)"
wait_for 20 logged "succeeded for member: $P11HA_MEMBER_2"
back=$(count)
printf 'signature %4d   the group has taken it back\n' "$back"
wait_for 20 signed $((back + 50))

say "who does the work (each message is digested and signed, each call goes to whoever's turn it is)"
"$build/bin/p11ha-failctl" "$P11HA_FAILING_CONTROL" stats "serial:$P11HA_MEMBER_1" | awk '
  { calls[$1] = $2 }
  END { printf "member 1, local    digests %d, signatures %d\n", calls["C_Digest"], calls["C_Sign"] }'
for k in 2 3; do
  printf 'member %d, remote   p11ha-memberd ctl clients:\n' "$k"
  "$build/bin/p11ha-memberd" ctl "$folder/cluster/remote/$k/ctl" clients
done
exec 9>&-
status=0
wait "$loop" || status=$?
loop=

say "every signature, verified with OpenSSL"
bad=0
total=0
for signature in "$folder"/signatures/*.sig; do
  total=$((total + 1))
  openssl dgst -sha256 -verify "$folder/public.pem" -signature "$signature" "${signature%.sig}.msg" >/dev/null || bad=$((bad + 1))
done
printf '%d verified, %d bad\n' $((total - bad)) "$bad"
last=$(tail -n 1 "$folder/loop.txt")
[[ $last == "signatures $total, "* ]] || bad=$((bad + 1))

say "the HA log"
cat "$P11HA_LOG"
printf '\n'
printf '%s\n' "$last"
exit $((status != 0 || bad != 0 || total == 0))
