# What the scripts with a TLS server share. To be sourced after common.sh.
# shellcheck shell=bash

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# shellcheck disable=SC2317 # by way of wait_for
reachable() { (exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
up_or_gone() { reachable "$1" || gone "$2"; }

# serve COMMAND...: runs it with a port appended until it is reachable there; another takes the port now and then. Sets port
# and server.
serve() {
  local try
  for try in 1 2 3 4 5; do
    port=$(free_port)
    background "$@" "$port" </dev/null >"$folder/$side/server" 2>&1
    server=$!
    wait_for 30 up_or_gone "$port" "$server"
    ! gone "$server" || continue
    return 0
  done
  failed "$side: no server (try $try): $(tail -n 5 "$folder/$side/server")"
}

# handshakes CA THREADS COUNT: all must be good.
handshakes() {
  python3 "$source_dir/tests/clients/handshakes.py" "$port" "$@" >handshakes.out 2>&1
  sort handshakes.out | uniq -c
  ! grep -q -v '^ok' handshakes.out
}

# Key pair and certificate in the token, made by pkcs11-tool; the certificate is signed by the key itself.
# server_key NAME KIND ID
server_key() {
  pkcs11-tool --module "$module" --token-label "$label" --login --pin "$pin" --keypairgen --key-type "$2" --label "$1" --id "$3" \
    --extractable --usage-sign --usage-decrypt
}

# engine_conf: OpenSSL's pkcs11 engine on this side's module.
engine_conf() {
  need /usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so libengine-pkcs11-openssl
  printf '%s\n' 'openssl_conf = init' '[init]' 'engines = engines' '[engines]' 'pkcs11 = p11' '[p11]' 'engine_id = pkcs11' \
    "MODULE_PATH = $module" 'init = 0' '[req]' 'distinguished_name = name' '[name]' >openssl.cnf
  export OPENSSL_CONF=$PWD/openssl.cnf
}
key_uri() { printf 'pkcs11:token=%s;object=%s;type=private;pin-value=%s' "$label" "$1" "$pin"; }

good() { (($(grep -c '^ok' "$1") >= $2)); }
# Every process that dropped member 1 has it back.
recovered() {
  local dropped
  for dropped in $(sed -nE "s/.*\[([0-9]+)\].* has dropped member: $P11HA_MEMBER_1$/\1/p" "$P11HA_LOG"); do
    grep -qE "\[$dropped\].* recovery attempt [0-9]+ succeeded for member: $P11HA_MEMBER_1$" "$P11HA_LOG" || return 1
  done
}
signed_by_first() {
  "$P11HA_BUILD/bin/p11ha-failctl" "$P11HA_FAILING_CONTROL" stats "serial:$P11HA_MEMBER_1" |
    awk '$1 == "C_Sign" || $1 == "C_SignFinal" { signed += $2 } END { print signed + 0 }'
}
signs_again() { (($(signed_by_first) > $1)); }

# outage FILE COMMAND...: the command works until its standard input ends, writing a line "ok" or "failed" for each piece of
# work to FILE; meanwhile member 1 fails and comes back. No piece may fail. On the group's side.
outage() {
  local file=$1 worker before count
  shift
  mkfifo "$folder/stop"
  exec 8<>"$folder/stop"
  : >"$file"
  background "$@" <"$folder/stop" >"$file" 2>&1
  worker=$!
  wait_for 60 good "$file" 100
  cluster fail "$folder/group" 1
  wait_for 30 logged "has dropped member: $P11HA_MEMBER_1"
  wait_for 30 logged "recovery attempt 1 failed for member: $P11HA_MEMBER_1"
  count=$(grep -c '^ok' "$file")
  wait_for 60 good "$file" $((count + 100))
  before=$(signed_by_first)
  cluster heal "$folder/group" 1
  wait_for 30 recovered
  wait_for 60 signs_again "$before"
  exec 8>&-
  wait_for 60 gone "$worker"
  rm "$folder/stop"
  ! grep -v '^ok' "$file" || failed "an outage of one member was seen by the application"
  printf '%s: %d pieces of work while a member failed and returned, none failed\n' "$client" "$(grep -c '^ok' "$file")"
}
