#!/usr/bin/env bash
# A fresh soft token of opencryptoki for the conformance suite: opencryptoki.sh DIR 1.
#
# Its library, its daemon and their files are in fixed places, one set for a machine: each program that uses the token
# gets a daemon and places of its own, in namespaces that end with it (opencryptoki.sh --run DIR COMMAND...).
set -euo pipefail

# in_places DIR COMMAND...: in the namespaces
in_places() {
  local dir=$1
  shift
  mount --bind "$dir/etc" /etc/opencryptoki
  mount --bind "$dir/lib" /var/lib/opencryptoki
  mount --bind "$dir/group" /etc/group
  mount -t tmpfs tmpfs /run
  mkdir -p /run/lock/opencryptoki/swtok /run/dir
  # What is made in /dev/shm is to be seen there all the same.
  mount --bind "$dir" /run/dir
  mount -t tmpfs tmpfs /dev/shm
  mkdir -p "$dir"
  mount --bind /run/dir "$dir"
  PATH=$PATH:/usr/sbin pkcsslotd
  # Not by exec: the first process of a namespace does not die of its signals.
  "$@"
}

user=()
((EUID == 0)) || user=(--user --map-root-user)

case $1 in
  --run)
    shift
    exec unshare "${user[@]}" --mount --ipc --pid --fork --kill-child "$0" --in "$@"
    ;;
  --in)
    shift
    in_places "$@"
    exit
    ;;
esac

# shellcheck source=tests/conformance/profiles/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
only_one

mkdir -p "$dir"/{etc,lib/swtok/TOK_OBJ}
printf 'version opencryptoki-3.1\nslot 0\n{\nstdll = libpkcs11_sw.so\n}\n' >"$dir/etc/opencryptoki.conf"
# The group that owns everything, whoever runs this.
{ grep -v '^pkcs11:' /etc/group; printf 'pkcs11:x:0:root\n'; } >"$dir/group"

# Status 77: cannot be had here.
unshare "${user[@]}" --mount --ipc --pid --fork mount -t tmpfs tmpfs /run || exit 77

# Neither PIN may be what it was at first: 87654321, 12345678.
pin=24681357
so_pin=75318642
on_token() { "$0" --run "$dir" pkcsconf -c 0 "$@" >&2; }
on_token -I -S 87654321 <<<member1
on_token -P -S 87654321 -n "$so_pin"
on_token -u -S "$so_pin" -n 13572468
on_token -p -U 13572468 -n "$pin"

say module "${P11HA_OPENCRYPTOKI_MODULE:-/usr/lib/x86_64-linux-gnu/libopencryptoki.so.0}"
say pin "$pin"
say so-pin "$so_pin"
say runner "$0" --run "$dir"
say label member1
# The serial number of each soft token is 123.
say serial opencryptoki1
say slot 0
say state "$dir/lib"
