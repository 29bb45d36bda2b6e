#!/usr/bin/env bash
# A throw-away authority, and certificates of it: for the testbed, and for nothing else.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: pki.sh DIR ca NAME               DIR/NAME.pem, DIR/NAME.key: an authority of its own
       pki.sh DIR server CA NAME [HOST...]  a server's certificate by that authority, for localhost, 127.0.0.1, ::1 and HOSTs
       pki.sh DIR client CA NAME        a client's; NAME is its CN
       pki.sh DIR expired-server|expired-client CA NAME [HOST...]  the same, expired yesterday

P-256 keys, without a password, readable by their owner alone; valid for 30 days.
TEXT
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  usage
  exit 0
fi
if (($# < 3)); then
  usage >&2
  exit 2
fi
dir=$1 kind=$2
shift 2
umask 077
mkdir -p -- "$dir"
cd -- "$dir"
said=$(mktemp)
trap 'rm -f "$said"' EXIT

run() {
  "$@" >"$said" 2>&1 || {
    printf 'pki.sh: %s\n' "$(cat "$said")" >&2
    exit 1
  }
}

new_key() { run openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

# issue CA NAME USAGE SAN EXPIRED
issue() {
  local ca=$1 name=$2 dates=(-days 30)
  new_key "$name"
  run openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
  {
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$3"
    [[ -z $4 ]] || printf 'subjectAltName=%s\n' "$4"
  } >"$name.ext"
  if [[ $5 == expired ]]; then
    # `openssl x509` knows days only; `openssl ca` wants a database, which lasts as long as this.
    local work
    work=$(mktemp -d)
    : >"$work/index"
    printf '%s\n' "$(openssl rand -hex 16)" >"$work/serial"
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' \
      "$work" "$work" "$work" >"$work/conf"
    run openssl ca -batch -config "$work/conf" -cert "$ca.pem" -keyfile "$ca.key" -in "$name.csr" -out "$name.pem" -notext \
      -extfile "$name.ext" -startdate "$(date -u -d '-10 days' +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d '-1 day' +%Y%m%d%H%M%SZ)"
    rm -rf "$work"
  else
    run openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -set_serial "0x$(openssl rand -hex 16)" \
      "${dates[@]}" -extfile "$name.ext" -out "$name.pem"
  fi
  rm -f "$name.csr" "$name.ext"
}

hosts() {
  local san=DNS:localhost,IP:127.0.0.1,IP:::1 host
  for host in "$@"; do
    if [[ $host =~ ^[0-9.]+$ || $host == *:* ]]; then san+=,IP:$host; else san+=,DNS:$host; fi
  done
  printf %s "$san"
}

case $kind in
  ca)
    new_key "$1"
    run openssl req -x509 -key "$1.key" -subj "/CN=$1" -days 30 -out "$1.pem" \
      -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
    ;;
  server | expired-server | client | expired-client)
    (($# >= 2)) || { usage >&2 && exit 2; }
    ca=$1 name=$2
    shift 2
    expired=
    [[ $kind != expired-* ]] || expired=expired
    if [[ $kind == *server ]]; then
      issue "$ca" "$name" serverAuth "$(hosts "$@")" "$expired"
    else
      issue "$ca" "$name" clientAuth '' "$expired"
    fi
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
