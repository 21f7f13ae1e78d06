# Completion of hookswitch for bash: what the program's own help names, so it fits the version that is installed.
_hookswitch() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} words
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words=$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *.*/\1/p')
	elif [[ $previous == -c || $previous == --config || $previous == --*file || $previous == --socket || $previous == -s ]]; then
		compopt -o default
		return
	else
		words=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u)
		if [ "${COMP_WORDS[1]}" = ctl ]; then
			words="$words $("$program" ctl --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)\( .*\)\{0,1\}$/\1/p')"
		fi
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	[ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _hookswitch hookswitch
