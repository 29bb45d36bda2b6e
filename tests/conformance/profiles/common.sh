# shellcheck shell=bash
# For profiles: dir and count as the suite gives them, PINs, and the printing of what run/profile.h says. To be sourced.
# shellcheck disable=SC2034 # used there
set -euo pipefail

dir=$1
count=$2
pin=12345678
so_pin=87654321

# say KEY VALUE...: a line for each value
say() {
  local key=$1
  shift
  printf "$key=%s\n" "$@"
}

# Of a module that has one token.
only_one() {
  ((count == 1)) || { printf '%s: one token only\n' "$0" >&2; exit 1; }
}
