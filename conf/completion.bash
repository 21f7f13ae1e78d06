# Completion of hookswitch for bash: what the program's own help names, so it fits the version that is installed.
# First words of the table that the daemon answers, by the configuration or socket that the line names.
_hookswitch_names() {
	local i options=()
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config | -s | --socket) options+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
		esac
	done
	"${COMP_WORDS[0]}" ctl "${options[@]}" --timeout 1 "$1" 2>/dev/null | sed -n "/^$2 /,/^last error/s/^\([^ ]*\)  .*/\1/p" | grep -vx "$2"
}

_hookswitch() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} words
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words=$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *.*/\1/p')
	elif [[ $previous == -c || $previous == --config || $previous == --*file || $previous == --socket || $previous == -s ]]; then
		compopt -o default
		return
	elif [[ ${COMP_WORDS[1]} == ctl && $previous =~ ^(call|record|--server)$ ]]; then
		words=$(_hookswitch_names servers SERVER)
	elif [[ ${COMP_WORDS[1]} == ctl && $previous =~ ^(enable|disable)$ ]]; then
		words=$(_hookswitch_names scripts RULE)
	elif [[ ${COMP_WORDS[1]} == ctl && $previous == work ]]; then
		words="retry drop $(_hookswitch_names work QUEUE)"
	elif [[ ${COMP_WORDS[1]} == ctl && ${COMP_WORDS[COMP_CWORD - 2]} == work && $previous =~ ^(retry|drop)$ ]]; then
		words=$(_hookswitch_names work QUEUE)
	elif [[ ${COMP_WORDS[1]} == ctl && $previous == log ]]; then
		words="debug info warn error"
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
