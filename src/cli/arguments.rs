//! What can be said on the command line: argh's tables, from which the help, the manual's reference, the man page and
//! the completions come.

use std::path::PathBuf;

use argh::FromArgs;

/// Keeps a router's firewall sets equal to live threat feeds and to what the router itself sees.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
pub struct Arguments {
    /// print version, target and commit
    #[argh(switch)]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
pub enum Command {
    Run(Run),
    Status(Status),
    Check(Check),
    List(List),
    History(History),
    Report(Report),
    Watch(Watch),
    Block(Block),
    Unblock(Unblock),
    Clear(Clear),
    Allow(Allow),
    Disallow(Disallow),
    Kick(Kick),
    Resync(Resync),
    Rules(Rules),
    Config(Config),
    Logs(Logs),
    ListTest(ListTest),
    Lists(Lists),
    Rpcd(Rpcd),
}

/// Run the daemon.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// log to standard error instead of syslog
    #[argh(switch)]
    pub foreground: bool,
}

/// Show what is in force, feeds, bans and drops. Exit status 0: all that is switched on is in force; 1: it is
/// not, or diswall is switched off; 3: no daemon answers.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Say whether an address is banned, by whom, since when and until when, or allowed by what.
/// Exit status 1: it is not blocked.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "check")]
pub struct Check {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// an IPv4 or IPv6 address
    #[argh(positional)]
    pub address: String,
}

/// List bans, the newest first: of one source (dynfw, nats, scan, manual, crowdsec), of all of them, of one list (config
/// list) by its name, or what is allowed (allow).
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "list")]
pub struct List {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// print one JSON object a line
    #[argh(switch)]
    pub json: bool,
    /// print bans as CSV, for a spreadsheet
    #[argh(switch)]
    pub csv: bool,
    /// dynfw, nats, scan, manual, crowdsec, a list's name, or allow
    #[argh(positional)]
    pub source: Option<String>,
}

/// Show dropped packets and new bans by the hour, as far back as 7 days.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "history")]
pub struct History {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// how many hours back, 1 to 168 (default 24)
    #[argh(option, default = "24", from_str_fn(whole))]
    pub hours: u32,
}

/// Report what was dropped and who was, by source, country, port and hour; what each source adds, and what is
/// allowed although banned.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "report")]
pub struct Report {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// the last so many days, today among them, 1 to 366 (default 7); 14 are kept
    #[argh(option, default = "7", from_str_fn(whole))]
    pub days: u32,
    /// print text (the default)
    #[argh(switch)]
    pub text: bool,
    /// send it to option report_mail through msmtp or sendmail, print nothing
    #[argh(switch)]
    pub mail: bool,
    /// print a page of HTML
    #[argh(switch)]
    pub html: bool,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Show bans, releases and feed changes as they happen. Ends with Ctrl-C.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "watch")]
pub struct Watch {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// print JSON lines even on a terminal
    #[argh(switch)]
    pub json: bool,
    /// only this source: dynfw, nats, scan, manual, crowdsec or a list's name
    #[argh(option)]
    pub source: Option<String>,
    /// only this address, or addresses in this network
    #[argh(option)]
    pub address: Option<String>,
}

/// Block addresses and networks: lastingly, in the configuration, or with --timeout for a while.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "block")]
pub struct Block {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// how long, such as 15m, 1h, 7d; 0: until unblocked, but not in the configuration
    #[argh(option)]
    pub timeout: Option<String>,
    /// why, for yourself; one line
    #[argh(option, default = "String::new()")]
    pub comment: String,
    /// drop or reject, if not as configured
    #[argh(option)]
    pub action: Option<String>,
    /// even every address at once (0.0.0.0/0)
    #[argh(switch)]
    pub force: bool,
    /// in whose name, for programs, which take back their own bans alone; needs --timeout
    #[argh(option)]
    pub by: Option<String>,
    /// addresses and networks; - alone: as standard input has them, any number, all or none
    #[argh(positional)]
    pub addresses: Vec<String>,
}

/// Free addresses and networks, whoever banned them. A feed bans again what it lists again; an
/// allowance lasts.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "unblock")]
pub struct Unblock {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// only this source's bans: dynfw, nats, scan, manual or crowdsec
    #[argh(option)]
    pub source: Option<String>,
    /// only the bans in this name, as block --by gave it; the configuration is left alone
    #[argh(option)]
    pub by: Option<String>,
    /// addresses and networks; - alone: as standard input has them
    #[argh(positional)]
    pub addresses: Vec<String>,
}

/// Take back every ban of one holder: those of block --by NAME, or of owner, your own with --timeout.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "clear")]
pub struct Clear {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// whose bans
    #[argh(option)]
    pub by: String,
}

/// Exempt addresses and networks from blocking: lastingly, in the configuration, or with --timeout.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "allow")]
pub struct Allow {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// how long, such as 15m, 1h, 7d; 0: until disallowed, but not in the configuration
    #[argh(option)]
    pub timeout: Option<String>,
    /// why, for yourself; one line
    #[argh(option, default = "String::new()")]
    pub comment: String,
    /// addresses and networks; - alone: as standard input has them, any number, all or none
    #[argh(positional)]
    pub addresses: Vec<String>,
}

/// Take allowances back.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "disallow")]
pub struct Disallow {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// addresses and networks; - alone: as standard input has them
    #[argh(positional)]
    pub addresses: Vec<String>,
}

/// End the connections of addresses and networks, without banning them.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "kick")]
pub struct Kick {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// addresses and networks; - alone: as standard input has them
    #[argh(positional)]
    pub addresses: Vec<String>,
}

/// The ubus face, for rpcd.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "rpcd")]
pub struct Rpcd {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// another catalogue of lists than the package's
    #[argh(option)]
    pub catalogue: Option<PathBuf>,
    /// list, or call
    #[argh(positional)]
    pub what: String,
    /// the method to call; its arguments are read from standard input
    #[argh(positional)]
    pub method: Option<String>,
}

/// Fetch a fresh whole list from one feed (dynfw, nats, crowdsec, a list by its name) or all, and compare the kernel's
/// sets.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "resync")]
pub struct Resync {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// dynfw, nats, crowdsec or a list's name
    #[argh(positional)]
    pub source: Option<String>,
}

/// Print the nft text for fw4, or with --standalone for a machine without fw4.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "rules")]
pub struct Rules {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// complete ruleset: diswall rules --standalone | nft -f -
    #[argh(switch)]
    pub standalone: bool,
    /// check the text and put it where fw4 includes it; exit status 0: it changed, 1: it did not, 4: nft
    /// refuses it
    #[argh(switch)]
    pub write: bool,
    /// have nft load the complete ruleset, less what the kernel lacks; 4: it refuses
    #[argh(switch)]
    pub load: bool,
    /// print what takes everything of diswall out of the table: diswall rules --delete | nft -f -
    #[argh(switch)]
    pub delete: bool,
    /// take away what rules of a former configuration left in the kernel; with --delete, or where diswall is switched
    /// off, everything of diswall
    #[argh(switch)]
    pub clear: bool,
}

/// Work on the configuration file.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "config")]
pub struct Config {
    #[argh(subcommand)]
    pub command: ConfigCommand,
}

#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
pub enum ConfigCommand {
    Check(ConfigCheck),
    Restore(ConfigRestore),
    Explain(ConfigExplain),
}

/// Print every problem of a configuration file with its line. Exit status 2: it has errors.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "check")]
pub struct ConfigCheck {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// the file; the same as --config
    #[argh(positional)]
    pub file: Option<PathBuf>,
}

/// Say what would be read of a list: its format, how many hosts and networks, the first entries, the first refused
/// lines with the reason. Exit status 0: it can be used; 1: it would be refused.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "list-test")]
pub struct ListTest {
    /// auto, plain, csv:COLUMN:SEPARATOR, spamhaus, dshield, ranges, rir:COUNTRY, suricata or names (default
    /// auto)
    #[argh(option)]
    pub format: Option<String>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// a file, https://… or http://…; -: standard input
    #[argh(positional)]
    pub list: String,
}

/// Show the catalogue of well-known lists: whether each is switched on, its size, what it takes of the memory. show NAME:
/// all of it; enable NAME…, disable NAME…: switch lists on or off, all or none; recommend: those for this router.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "lists")]
pub struct Lists {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// another catalogue than the package's
    #[argh(option)]
    pub catalogue: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// enable: also what does not fit into the memory
    #[argh(switch)]
    pub force: bool,
    /// recommend: switch them on
    #[argh(switch)]
    pub enable: bool,
    /// show, enable, disable or recommend, and names of lists
    #[argh(positional)]
    pub words: Vec<String>,
}

/// Look into logs.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "logs")]
pub struct Logs {
    #[argh(subcommand)]
    pub command: LogsCommand,
}

#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
pub enum LogsCommand {
    Test(LogsTest),
}

/// Say for each line of a log what the daemon would make of it: whose line it is, which address failed to log
/// in at which service, or why nothing is counted; and the sum.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "test")]
pub struct LogsTest {
    /// configuration file (default /etc/config/diswall)
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// print one JSON object a line
    #[argh(switch)]
    pub json: bool,
    /// a service to look for in place of what is configured, such as ssh; may be repeated
    #[argh(option)]
    pub service: Vec<String>,
    /// the log; none, or -: standard input
    #[argh(positional)]
    pub file: Option<String>,
}

/// Put the last good configuration in the place of the file, which is set aside as /etc/diswall/set-aside.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "restore")]
pub struct ConfigRestore {
    /// configuration file (default /etc/config/diswall; a last good one is kept for no other)
    #[argh(option)]
    pub config: Option<PathBuf>,
}

/// Print what an option means and what it may be: max_entries, nats.client_pass; or all of a section: scan.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "explain")]
pub struct ConfigExplain {
    /// option, section.option, or section
    #[argh(positional)]
    pub option: String,
}

/// A number of hours or days; how many there may be, the daemon says.
fn whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "accepted is a whole number".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_hears_what_is_accepted() {
        for words in [["history", "--hours", "soon"], ["report", "--days", "-1"]] {
            let refused =
                Arguments::from_args(&["diswall"], &words).err().map(|early| early.output).unwrap_or_default();
            assert!(refused.contains(words[2]) && refused.contains("whole number"), "{refused}");
        }
    }
}
