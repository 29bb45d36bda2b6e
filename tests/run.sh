#!/usr/bin/env bash
# Builds p11ha and runs its tests, on a machine where nothing is prepared but Debian 12.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: run.sh [--long] [--preset NAME]

Installs the packages that are missing (packages.txt, tests/clients/packages.txt), configures and builds the preset (release, dev, asan, tsan, clang
or fuzz; release unless told) and runs its tests. --long adds those labelled "long". The end of the output is ctest's
summary, the status that of ctest.
TEXT
}

misused() {
  printf 'run.sh: %s\n' "$1" >&2
  usage >&2
  exit 2
}

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=release
left_out=long

while (($#)); do
  case $1 in
    --long) left_out= ;;
    --preset)
      (($# >= 2)) || misused "--preset: which?"
      preset=$2
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) misused "\"$1\" is no option" ;;
  esac
  shift
done

packages=("$source_dir/packages.txt")
launcher=()
case $preset in
  release | dev) packages+=("$source_dir/tests/clients/packages.txt") ;;
  clang) packages+=("$source_dir/.ci/packages.txt") ;;
  fuzz) packages+=("$source_dir/.ci/packages.txt") ;;
  asan | tsan) ;;
  *) misused "there is no preset \"$preset\"" ;;
esac
"$source_dir/testbed/packages.sh" "${packages[@]}"

if [[ $preset == asan || $preset == tsan || $preset == fuzz ]]; then
  options() { printf '%s%s' "$1" "${2:+:$2}"; }
  ASAN_OPTIONS=$(options detect_leaks=1 "${ASAN_OPTIONS:-}")
  LSAN_OPTIONS=$(options "suppressions=$source_dir/tests/lsan.supp:print_suppressions=0" "${LSAN_OPTIONS:-}")
  UBSAN_OPTIONS=$(options print_stacktrace=1 "${UBSAN_OPTIONS:-}")
  TSAN_OPTIONS=$(options "suppressions=$source_dir/tests/tsan.supp:die_after_fork=0:second_deadlock_stack=1" "${TSAN_OPTIONS:-}")
  export ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
  # Where the kernel moves mappings far, the sanitizers of GCC 12 do not find room for their shadow.
  if setarch "$(uname -m)" -R true 2>/dev/null; then launcher=(setarch "$(uname -m)" -R); fi
fi

cd "$source_dir"
cmake --preset "$preset"
cmake --build --preset "$preset"
# One more than there are processors: most tests wait for something.
tests=(ctest --test-dir "build/$preset" --parallel $(($(nproc) + 1)) --output-on-failure --no-tests=error)
[[ -z $left_out ]] || tests+=(--label-exclude "^$left_out\$")
exceptions=$(awk -v preset="$preset" '!/^#/ && ("," $1 ",") ~ ("," preset ",") { printf "%s%s", n++ ? "|" : "", $2 }' \
  tests/not_under_sanitizers.txt)
[[ -z $exceptions ]] || tests+=(--exclude-regex "$exceptions")
exec "${launcher[@]}" "${tests[@]}"
