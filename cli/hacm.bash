# Completion of hacm's commands, options, labels and serial numbers for bash: hacm itself says what there is.
_hacm() {
  local line=${COMP_LINE:0:COMP_POINT}
  mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" -complete <<<"${line#*"${COMP_WORDS[0]}"}" 2>/dev/null)
}
complete -o default -F _hacm hacm lunacm
