# SPDX-License-Identifier: MIT
# Completion of the drfs command for bash. Asks no repository: that could want a passphrase.

_drfs() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev='' command='' word i
	local commands='backup commit snapshots status restore mount umount ls cat find diff init check key help'
	local options='--repo --config --json --quiet --verbose --dry-run --help --version'
	COMPREPLY=()
	((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}

	# The command is the first word that is neither an option nor the value of one.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-r | --repo | -c | --config) ((i++)) ;;
		-*) ;;
		*)
			command=$word
			break
			;;
		esac
	done

	case $prev in
	-c | --config | -r | --repo | --exclude-from | --new-key-file | --new-password-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--exclude | -e | --description | --tag | --label | --name | --size | --newer | --jobs | --compression | --stdin | \
		--map-user | --map-group)
		return
		;;
	--type)
		mapfile -t COMPREPLY < <(compgen -W 'f d l' -- "$cur")
		return
		;;
	-o)
		mapfile -t COMPREPLY < <(compgen -W 'allow_other no_spool cache= poll= key_file= password_file= config=' -- "$cur")
		return
		;;
	esac

	if [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands $options" -- "$cur")
		return
	fi
	case $command in
	backup)
		options+=' --stdin --exclude --exclude-from --one-file-system --compression --description --tag'
		;;
	commit) options+=' --description --tag' ;;
	restore)
		options+=' --delete --verify --checksum --jobs --numeric-ids --no-owner --map-user --map-group'
		;;
	check) options+=' --read-data --jobs' ;;
	find) options+=' --name --type --size --newer --long' ;;
	ls) options+=' --long --recursive' ;;
	mount) options+=' --foreground -o' ;;
	init) options+=' --label' ;;
	key)
		options+=' --label --new-key-file --new-password-file --force'
		if [[ $prev == key ]]; then
			mapfile -t COMPREPLY < <(compgen -W 'list add remove' -- "$cur")
			return
		fi
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ $command == umount ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(awk '/ - fuse\.drfs /{print $5}' /proc/self/mountinfo 2>/dev/null)" -- "$cur")
	elif [[ $command != init && $command != check && $command != snapshots && $command != status ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -o bashdefault -F _drfs drfs
