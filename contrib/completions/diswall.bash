# Made by `cargo xtask docs` from the program's own tables: change those.

_diswall() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$command ${COMP_WORDS[i]}" in
		' run' | ' status' | ' check' | ' list' | ' history' | ' report' | ' watch' | ' block' | ' unblock' | ' clear' | ' allow' | ' disallow' | ' kick' | ' resync' | ' rules' | ' config' | 'config check' | 'config restore' | 'config explain' | ' logs' | 'logs test' | ' list-test' | ' lists' | ' rpcd')
			command="${command:+$command }${COMP_WORDS[i]}"
			;;
		esac
	done
	case "$command:$before" in
	'run:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'status:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'check:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'list:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'history:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'history:--hours') : ;;
	'report:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'report:--days') : ;;
	'watch:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'watch:--source') mapfile -t COMPREPLY < <(compgen -W 'dynfw nats scan manual crowdsec' -- "$word") ;;
	'watch:--address') : ;;
	'block:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'block:--timeout') : ;;
	'block:--comment') : ;;
	'block:--action') mapfile -t COMPREPLY < <(compgen -W 'drop reject' -- "$word") ;;
	'block:--by') : ;;
	'unblock:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'unblock:--source') mapfile -t COMPREPLY < <(compgen -W 'dynfw nats scan manual crowdsec' -- "$word") ;;
	'unblock:--by') : ;;
	'clear:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'clear:--by') : ;;
	'allow:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'allow:--timeout') : ;;
	'allow:--comment') : ;;
	'disallow:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'kick:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'resync:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'rules:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'config check:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'config restore:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'logs test:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'logs test:--service') mapfile -t COMPREPLY < <(compgen -W 'ssh luci smtp imap sip ftp openvpn strongswan nginx lighttpd nextcloud home-assistant vaultwarden gitea' -- "$word") ;;
	'list-test:--format') mapfile -t COMPREPLY < <(compgen -W 'auto plain csv spamhaus dshield ranges rir suricata names' -- "$word") ;;
	'lists:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'lists:--catalogue') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'rpcd:--config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	'rpcd:--catalogue') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	*)
		case "$command" in
		'') mapfile -t COMPREPLY < <(compgen -W '--version --help run status check list history report watch block unblock clear allow disallow kick resync rules config logs list-test lists rpcd' -- "$word") ;;
		'run') mapfile -t COMPREPLY < <(compgen -W '--config --foreground --help' -- "$word") ;;
		'status') mapfile -t COMPREPLY < <(compgen -W '--config --json --help' -- "$word") ;;
		'check') mapfile -t COMPREPLY < <(compgen -W '--config --json --help' -- "$word") ;;
		'list') mapfile -t COMPREPLY < <(compgen -W '--config --json --csv --help dynfw nats scan manual crowdsec allow' -- "$word") ;;
		'history') mapfile -t COMPREPLY < <(compgen -W '--config --json --hours --help' -- "$word") ;;
		'report') mapfile -t COMPREPLY < <(compgen -W '--config --days --text --mail --html --json --help' -- "$word") ;;
		'watch') mapfile -t COMPREPLY < <(compgen -W '--config --json --source --address --help' -- "$word") ;;
		'block') mapfile -t COMPREPLY < <(compgen -W '--config --timeout --comment --action --force --by --help' -- "$word") ;;
		'unblock') mapfile -t COMPREPLY < <(compgen -W '--config --source --by --help' -- "$word") ;;
		'clear') mapfile -t COMPREPLY < <(compgen -W '--config --by --help' -- "$word") ;;
		'allow') mapfile -t COMPREPLY < <(compgen -W '--config --timeout --comment --help' -- "$word") ;;
		'disallow') mapfile -t COMPREPLY < <(compgen -W '--config --help' -- "$word") ;;
		'kick') mapfile -t COMPREPLY < <(compgen -W '--config --help' -- "$word") ;;
		'resync') mapfile -t COMPREPLY < <(compgen -W '--config --help dynfw nats crowdsec' -- "$word") ;;
		'rules') mapfile -t COMPREPLY < <(compgen -W '--config --standalone --write --load --delete --clear --help' -- "$word") ;;
		'config') mapfile -t COMPREPLY < <(compgen -W '--help check restore explain' -- "$word") ;;
		'config check') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -W '--config --help' -- "$word") ;;
		'config restore') mapfile -t COMPREPLY < <(compgen -W '--config --help' -- "$word") ;;
		'config explain') mapfile -t COMPREPLY < <(compgen -W '--help main main.enabled main.local_only main.log_level main.table main.set_prefix main.zone main.device main.action main.log_drops main.states main.direction main.disconnect main.max_entries main.report main.report_mail main.report_day main.report_hour main.state_dir main.control dynfw dynfw.enabled dynfw.server dynfw.port dynfw.server_key dynfw.key_url dynfw.max_age dynfw.events nats nats.enabled nats.server nats.port nats.client_name nats.client_pass nats.nkey_file nats.hostname nats.tls nats.ca_file nats.share_bans nats.send_statistics nats.quorum nats.refresh crowdsec crowdsec.enabled crowdsec.url crowdsec.api_key crowdsec.api_key_file crowdsec.cert crowdsec.key crowdsec.interval crowdsec.scopes crowdsec.origins crowdsec.scenarios_containing crowdsec.scenarios_not_containing crowdsec.dedup crowdsec.usage_metrics crowdsec.types abuseipdb abuseipdb.enabled abuseipdb.key abuseipdb.key_file abuseipdb.daily_limit abuseipdb.categories scan scan.enabled scan.nflog_group scan.honeypot_port scan.ban_time scan.forget_after scan.high_port scan.high_port_packets scan.ipv6_prefix scan.refresh login login.enabled login.service login.attempts login.window login.source login.proof logwatch logwatch.enabled logwatch.name logwatch.preset logwatch.program logwatch.pattern logwatch.attempts logwatch.window logwatch.source list list.url list.country list.asn list.country_url list.asn_url list.format list.interval list.max_age list.enabled list.use list.direction list.zone list.proto list.dest_port list.action list.log_drops list.login list.keep allow allow.ip allow.comment block block.ip block.comment block.proto block.dest_port block.action block.log block.force' -- "$word") ;;
		'logs') mapfile -t COMPREPLY < <(compgen -W '--help test' -- "$word") ;;
		'logs test') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -W '--config --json --service --help' -- "$word") ;;
		'list-test') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -W '--format --json --help' -- "$word") ;;
		'lists') mapfile -t COMPREPLY < <(compgen -W '--config --catalogue --json --force --enable --help show enable disable recommend' -- "$word") ;;
		'rpcd') mapfile -t COMPREPLY < <(compgen -W '--config --catalogue --help list call' -- "$word") ;;
		esac
		;;
	esac
}
complete -F _diswall diswall
