# What rlhf takes, on TAB, in bash. Made by: rlhf completion bash
_rlhf_complete() {
    local line="${COMP_LINE:0:COMP_POINT}"
    mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" completion bash --line "$line" "$COMP_WORDBREAKS" 2>/dev/null)
    case "${COMPREPLY[0]-}" in
        *= | */ | *. | *@) compopt -o nospace ;;
    esac
}
complete -F _rlhf_complete rlhf
