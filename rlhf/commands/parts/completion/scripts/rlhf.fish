# What rlhf takes, on TAB, in fish. Made by: rlhf completion fish
function __rlhf_complete
    set -l words (commandline -opc)
    $words[1] completion fish --line (commandline -cp | string collect) 2>/dev/null
end
complete -c rlhf -f -a '(__rlhf_complete)'
