# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for packtest: packtest itself knows the words.
function __packtest_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c packtest -f -a '(__packtest_complete)'
