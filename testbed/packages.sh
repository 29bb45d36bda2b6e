#!/usr/bin/env bash
# Installs the Debian packages that are missing, by name.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: packages.sh [FILE...]

Installs, by apt-get, the packages that FILE names and this machine lacks: one a line, '#' begins a comment. Without FILE:
packages.txt of this source tree. Needs root, or sudo, only where something is missing.
TEXT
}

failed() {
  printf 'packages.sh: %s\n' "$1" >&2
  exit 1
}

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

case ${1:-} in
  --help | -h)
    usage
    exit 0
    ;;
  -*)
    usage >&2
    exit 2
    ;;
esac
(($#)) || set -- "$source_dir/packages.txt"

missing=()
for file in "$@"; do
  [[ -r $file ]] || failed "$file cannot be read"
  while read -r package _; do
    [[ -n $package && $package != '#'* ]] || continue
    state=$(dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null || true)
    # Of a package there may be several architectures.
    [[ $'\n'$state$'\n' == *$'\ninstalled\n'* ]] || missing+=("$package")
  done <"$file"
done
((${#missing[@]})) || exit 0

command -v apt-get >/dev/null || failed "no apt-get here; what is missing: ${missing[*]}"
as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || failed "neither root nor sudo; run as root: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
printf 'packages.sh: installing %s\n' "${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"; }
install() { apt install -y --no-install-recommends "${missing[@]}" >/dev/null; }
# A fresh machine has no lists, an old one has stale ones.
if apt-cache show "${missing[@]}" >/dev/null 2>&1 && install 2>/dev/null; then exit 0; fi
apt update
install
