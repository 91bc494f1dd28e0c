#compdef packtest
# SPDX-License-Identifier: GPL-2.0-or-later
# zsh completion for packtest: packtest itself knows the words.
_packtest() {
	local line word
	local -a found described
	for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -z $line ]] && continue
		if [[ $line == :files ]]; then
			_files
			continue
		fi
		word=${line%%$'\t'*}
		found+=("$word")
		described+=("${line/$'\t'/  }")
	done
	(( $#found )) && compadd -l -d described -a found
}
if [[ $funcstack[1] == _packtest ]]; then
	_packtest "$@"
else
	compdef _packtest packtest
fi
