# What OpenWrt's rc.common and procd.sh are to a service, for the tests' launcher: runs `start_service` of the
# real openwrt/files/diswall.init and writes what it asks of procd to standard output, a value a line, each
# with the parameter's name in front. The caller sets INIT, PROGRAM, CONFIGURATION, PLACE and JAIL.
# shellcheck disable=SC1090,SC2034,SC3043

extra_command() { :; }
config_load() { :; }

# The option of the section `main` in the test's file; where it is not given, the default.
config_get() {
	local value
	value=$(awk -v option="$3" -v q="'" '
		$1 == "config" { main = ($3 == q "main" q) }
		main && $1 == "option" && $2 == option { split($0, words, q); print words[2]; exit }' "$CONFIG")
	eval "$1=\${value:-\$4}"
}
config_get_bool() { config_get "$@"; }

logger() { echo "logger: $*" >&2; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_add_jail() { echo "jail=$1"; }
procd_set_param() {
	local name="$1" value
	shift
	for value in "$@"; do echo "$name=$value"; done
}

. "$INIT"
PROG=$PROGRAM
CONFIG=$CONFIGURATION
CAPABILITIES=${INIT%/*}/diswall.capabilities
RUN=$PLACE
CONFIG_COPY=$RUN/config
RULES_DIRECTORY=$RUN/fw4
RULES=$RULES_DIRECTORY/diswall.nft
NOTES=${PLACE%/*}/notes
LAST_GOOD=$NOTES/last-good
UJAIL=$JAIL
CRONTABS=$PLACE/crontabs
CRON_D=$PLACE/cron.d
CRON=/bin/true
SENT=$RUN/report-sent
# Each test loads rules into a network of its own.
apply_rules() { :; }
include_in_fw4() { :; }
start_service
