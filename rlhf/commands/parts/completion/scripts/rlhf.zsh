#compdef rlhf
# What rlhf takes, on TAB, in zsh. Made by: rlhf completion zsh
_rlhf() {
    local line text described
    local -a whole whole_shown open open_shown
    line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    while IFS=$'\t' read -r text described; do
        case $text in
            *=|*/|*.|*@) open+=("$text"); open_shown+=("$text${described:+  -- $described}") ;;
            *) whole+=("$text"); whole_shown+=("$text${described:+  -- $described}") ;;
        esac
    done < <("${words[1]}" completion zsh --line "$line" 2>/dev/null)
    (( $#whole )) && compadd -l -d whole_shown -a whole
    (( $#open )) && compadd -l -S '' -d open_shown -a open
}
(( $+functions[compdef] )) && compdef _rlhf rlhf
