#!/usr/bin/env bash
# The same, where a group sees the first token directly and the others through a daemon: softhsm-mixed.sh DIR COUNT.
exec "$(dirname "${BASH_SOURCE[0]}")/softhsm-remote.sh" "$1" "$2" 1
