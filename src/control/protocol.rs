//! What is said over the control socket: one JSON object a line each way.
//!
//! The same objects are the answers of `diswall rpcd` and of every `--json`. Conventions: a field that
//! does not apply is absent, integers only, durations in whole seconds, moments in Unix seconds of the
//! router's wall clock with `now` beside them. Unknown keys in a request are ignored (rpcd adds some).

use crate::json::{self, Error, Json, Reader, fields};
use crate::outside;

/// Longest request line in bytes, the newline included.
pub const REQUEST_MAX: usize = 64 * 1024;

/// Most rows in one page of an answer: ubus messages end at 1 MiB.
pub const PAGE_MAX: u32 = 1000;

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// → [`Status`]
    Status(Nothing),
    /// → [`Feeds`]
    Feeds(Nothing),
    /// → [`Page`]
    Bans(ListQuery),
    /// → [`Check`]
    Check(CheckQuery),
    /// → [`Allowances`]
    Allowances(AllowancesQuery),
    /// → a stream of [`Activity`] lines until the client hangs up
    Watch(WatchQuery),
    /// → [`Resynced`]
    Resync(ResyncQuery),
    /// → [`History`]
    History(HistoryQuery),
    /// → [`Report`]
    Report(ReportQuery),
    /// → [`Events`]
    Events(EventsQuery),
    /// Ban in the ledger, until the time-out. → [`Done`]
    Ban(BanCommand),
    /// Take bans back, a holder's own or whoever's. → [`Done`]
    Unban(UnbanCommand),
    /// Allow in the ledger, until the time-out. → [`Done`]
    Exempt(ExemptCommand),
    /// Take the ledger's allowances back. → [`Done`]
    Unexempt(ExemptCommand),
    /// End connections. → [`Done`]
    Kick(KickCommand),
    /// Take back everything that a holder has banned by command. → [`Done`], one row
    Clear(ClearCommand),
    /// What is true of these? → [`Done`]
    Explain(ExplainCommand),
}

macro_rules! methods {
    ($($name:literal $method:ident,)*) => {
        impl Request {
            /// What can be asked, by name.
            pub const METHODS: &[&str] = &[$($name),*];

            /// The request of that name, with nothing asked in particular.
            fn named(method: &str) -> Option<Request> {
                match method {
                    $($name => Some(Request::$method(Default::default())),)*
                    _ => None,
                }
            }

            fn parts(&self) -> (&'static str, &dyn Json) {
                match self {
                    $(Request::$method(params) => ($name, params),)*
                }
            }

            fn params_mut(&mut self) -> &mut dyn Json {
                match self {
                    $(Request::$method(params) => params,)*
                }
            }
        }
    };
}

methods! {
    "status" Status,
    "feeds" Feeds,
    "bans" Bans,
    "check" Check,
    "allowances" Allowances,
    "watch" Watch,
    "resync" Resync,
    "history" History,
    "report" Report,
    "events" Events,
    "ban" Ban,
    "unban" Unban,
    "exempt" Exempt,
    "unexempt" Unexempt,
    "kick" Kick,
    "clear" Clear,
    "explain" Explain,
}

impl Request {
    /// A request from its method's name and its arguments' JSON text.
    ///
    /// # Errors
    /// There is no such method, or an argument has another type; the sentence names what is accepted.
    pub fn new(method: &str, params: &str) -> Result<Request, Refusal> {
        let mut request = Request::named(method).ok_or_else(|| {
            let known = Request::METHODS.join(", ");
            Refusal::invalid(format!("'{method}' is no method; accepted: {known}"))
        })?;
        json::read_into(params, request.params_mut()).map_err(|error| Refusal::invalid(error.to_string()))?;
        Ok(request)
    }

    /// The request of which this is the line.
    ///
    /// # Errors
    /// It is no JSON object, or as [`Request::new`]'s.
    pub fn from_line(line: &str) -> Result<Request, Refusal> {
        let understood = |error: Error| Refusal::invalid(format!("the request was not understood: {error}"));
        let mut method = None::<String>;
        let mut params = "{}";
        let mut from = Reader::new(line);
        let read = from.object(&mut |key, from| match key {
            "method" => method.read(from).map_err(|error| error.within(key)),
            "params" => from.raw().map(|text| params = text),
            _ => from.skip(),
        });
        read.and_then(|()| from.end()).map_err(understood)?;
        match method {
            Some(method) => Request::new(&method, params),
            None => Err(understood(from.expected("the key method"))),
        }
    }

    /// Its line, without the newline.
    pub fn to_line(&self) -> String {
        let (method, params) = self.parts();
        let mut line = String::from("{\"method\":");
        json::write_text(&mut line, method);
        line.push_str(",\"params\":");
        params.write(&mut line);
        line.push('}');
        line
    }
}

/// What part of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryQuery {
    /// Hours back from now, 1 to 168 (default).
    pub hours: Option<u32>,
}

/// A report on which days.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportQuery {
    /// The last so many days, today among them, 1 to 366; default 7.
    pub days: Option<u32>,
}

/// Answer to [`Request::Report`]: what was dropped, and who was. Days are those of UTC. Packets that were looked at are
/// a few a second of each source; nothing is said of the others but their number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Wall clock.
    pub now: u64,
    /// So many days were asked for.
    pub days: u32,
    /// So many are kept at most.
    pub kept: u32,
    /// When the first day of which there are figures began; absent: there are none.
    pub since: Option<u64>,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Bans that began.
    pub bans: u64,
    /// Whether dropped packets are looked at: option `report`.
    pub looks: bool,
    /// Why they cannot be.
    pub trouble: Option<String>,
    /// Dropped packets that were looked at.
    pub looked: u64,
    /// Of these, on their way from inside to a banned host.
    pub outgoing: u64,
    /// By source, in the order of `status`.
    pub sources: Vec<ReportSource>,
    /// Whether a list of a country is configured.
    pub placed: bool,
    /// Packets looked at by country or autonomous system, the most frequent first.
    pub places: Vec<ReportPlace>,
    /// Packets looked at whose sender is in no such list.
    pub unplaced: u64,
    /// Packets looked at by port, the most frequent first, at most 20.
    pub ports: Vec<ReportPort>,
    /// The ten most stubborn.
    pub hosts: Vec<ReportHost>,
    /// By day, the oldest first; days without figures are left out.
    pub by_day: Vec<ReportDay>,
    /// Allowances of what somebody bans, at most 50.
    pub allowed: Vec<ReportAllowed>,
    /// How many there are; of many thousands, among the first 1000.
    pub allowed_total: u64,
}

/// One source's part of a [`Report`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportSource {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// It is none of the configuration any more.
    pub gone: bool,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Bans that began.
    pub bans: u64,
    /// Packets looked at.
    pub looked: u64,
    /// Of these, whose sender no other source banned.
    pub alone: u64,
    /// Addresses and networks that it has now.
    pub entries: u64,
    /// Of these, so many were looked for in all other sources.
    pub compared: u64,
    /// Of those, so many no other source has.
    pub only: u64,
}

/// A country's part, or that of several that are one list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportPlace {
    /// The list.
    pub list: String,
    /// What people call it.
    pub title: String,
    /// Packets looked at.
    pub packets: u64,
}

/// A port's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportPort {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the protocol's number.
    pub protocol: String,
    /// The port; absent where the protocol has none.
    pub port: Option<u16>,
    /// Packets looked at.
    pub packets: u64,
}

/// A host's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportHost {
    /// Its address.
    pub address: String,
    /// Packets looked at.
    pub packets: u64,
    /// On so many days.
    pub days: u32,
    /// When last.
    pub last: u64,
    /// At which port last.
    pub protocol: Option<String>,
    /// See `protocol`.
    pub port: Option<u16>,
    /// Its country, where a list has it.
    pub place: Option<String>,
    /// Who bans it now.
    pub sources: Vec<String>,
    /// Why.
    pub reason: Option<Reason>,
}

/// A day's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportDay {
    /// When it begins.
    pub start: u64,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Bans that began.
    pub bans: u64,
    /// Packets dropped by the hour; -1: the daemon did not run then.
    pub hours: Vec<i64>,
}

/// An allowance that keeps a ban from holding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportAllowed {
    /// Address or network.
    pub address: String,
    /// `config`, `command` or `nats`.
    pub origin: String,
    /// The allowance's comment.
    pub comment: Option<String>,
    /// Who bans it, or a part of it.
    pub sources: Vec<String>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsQuery {
    /// As the last answer gave it; absent: the newest events.
    pub cursor: Option<String>,
    /// Most events wanted, 1 to 200; default 50.
    pub limit: Option<u32>,
    /// Only these kinds; empty: all.
    pub kinds: Vec<String>,
}

/// Networks to ban by the owner's word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BanCommand {
    /// Addresses and networks.
    pub addresses: Vec<String>,
    /// Seconds; absent: until taken back.
    pub timeout: Option<u32>,
    /// The owner's comment.
    pub comment: Option<String>,
    /// Even everything at once.
    pub force: bool,
    /// In whose name; absent: the owner's.
    pub by: Option<String>,
    /// The part of a command that is too long for one line: all parts have this name, and are kept until the
    /// last comes. Absent: a whole command.
    pub batch: Option<String>,
    /// With `batch`: more parts follow.
    pub more: bool,
}

/// Networks to free.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnbanCommand {
    /// Addresses and networks.
    pub addresses: Vec<String>,
    /// Only this source's bans; absent: every source's.
    pub source: Option<String>,
    /// Only this holder's bans by command; absent: whoever's.
    pub by: Option<String>,
    /// Those whose block has just been taken out of the configuration, as they are written.
    pub unlisted: Vec<String>,
    /// The configuration has changed: to be read again first.
    pub reload: bool,
}

/// Whose bans to take back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClearCommand {
    /// The holder.
    pub by: String,
}

/// Networks to allow, or to allow no longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExemptCommand {
    /// Addresses and networks.
    pub addresses: Vec<String>,
    /// Seconds; absent: until taken back.
    pub timeout: Option<u32>,
    /// The owner's comment.
    pub comment: Option<String>,
    /// As of [`BanCommand`].
    pub batch: Option<String>,
    /// As of [`BanCommand`].
    pub more: bool,
    /// For [`Request::Unexempt`], as of [`UnbanCommand`].
    pub reload: bool,
}

/// Addresses of which something is to be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExplainCommand {
    /// Addresses and networks; none: only `reload` is wanted.
    pub addresses: Vec<String>,
    /// As of [`UnbanCommand`].
    pub reload: bool,
}

/// Addresses whose connections are to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KickCommand {
    /// Addresses and networks.
    pub addresses: Vec<String>,
}

/// Answer to everything that changes something: all or nothing was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// A row for each address, in their order.
    pub done: Vec<DoneRow>,
}

/// What was done about one address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DoneRow {
    /// Address or network.
    pub address: String,
    /// What was done, as a sentence.
    pub text: String,
    /// The sources whose bans were taken back.
    pub sources: Vec<String>,
    /// Connections ended.
    pub connections: Option<u64>,
}

/// Answer to [`Request::History`]. Element `i` of a row covers the `step` seconds before
/// `end - (hours - 1 - i) * step`; -1 means that the daemon did not run then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Wall clock.
    pub now: u64,
    /// End of the running hour.
    pub end: u64,
    /// Seconds an element covers.
    pub step: u64,
    /// Elements in a row.
    pub hours: u64,
    /// Every source.
    pub sources: Vec<HistorySource>,
}

/// One source's past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistorySource {
    /// Its name.
    pub name: String,
    /// Packets dropped.
    pub packets: Vec<i64>,
    /// Bytes dropped.
    pub bytes: Vec<i64>,
    /// Bans that began.
    pub bans: Vec<i64>,
}

/// Answer to [`Request::Events`], oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Wall clock.
    pub now: u64,
    /// To be handed back for what comes next.
    pub cursor: String,
    /// Events since the cursor that are no longer kept.
    pub missed: u64,
    /// The cursor was of an earlier run of the daemon.
    pub restarted: bool,
    /// The events.
    pub events: Vec<Activity>,
}

/// A request without arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nothing {}

/// Which bans, in which order, which part of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListQuery {
    /// A source's name; absent: all.
    pub source: Option<String>,
    /// An address or its beginning, a network, or a text in the reason.
    pub search: Option<String>,
    /// 4 or 6; absent: both.
    pub family: Option<u8>,
    /// `address`, `since` (default), `until` or `source`.
    pub sort: Option<String>,
    /// Descending; default: true for `since`, else false.
    pub desc: Option<bool>,
    /// Rows to pass over.
    pub offset: u32,
    /// Rows wanted, 1 to [`PAGE_MAX`]; default 50.
    pub limit: Option<u32>,
}

/// Which address or network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckQuery {
    /// Address or network.
    pub address: String,
}

/// Which part of the allowances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowancesQuery {
    /// `config`, `command` or `nats`; absent: all.
    pub origin: Option<String>,
    /// Text looked for in address and comment.
    pub search: Option<String>,
    /// Rows to pass over.
    pub offset: u32,
    /// Rows wanted, 1 to [`PAGE_MAX`]; default 100.
    pub limit: Option<u32>,
}

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchQuery {
    /// Only this source.
    pub source: Option<String>,
    /// Only this address, or addresses in this network.
    pub address: Option<String>,
}

/// Which feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResyncQuery {
    /// `dynfw` or `nats`; absent: both.
    pub source: Option<String>,
}

/// An answer that says no. On the wire: `{"error":{"code":…,"message":…}}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// What kind of no.
    pub code: Code,
    /// One sentence for people; names the value and what is accepted.
    pub message: String,
}

/// Kinds of no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    /// The daemon cannot be reached or did not answer in time (said by the client).
    NotRunning,
    /// An argument is wrong.
    Invalid,
    /// Valid, but not allowed.
    Refused,
    /// Nothing to take back.
    NotFound,
    /// It was tried and did not work.
    #[default]
    Failed,
}

impl Code {
    const NAMES: [(&'static str, Code); 5] = [
        ("not_running", Code::NotRunning),
        ("invalid", Code::Invalid),
        ("refused", Code::Refused),
        ("not_found", Code::NotFound),
        ("failed", Code::Failed),
    ];
}

impl Json for Code {
    fn write(&self, out: &mut String) {
        let name = Code::NAMES.iter().find(|(_, code)| code == self).map_or("failed", |(name, _)| name);
        json::write_text(out, name);
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        let name = from.text()?;
        let known = Code::NAMES.iter().find(|(known, _)| *known == name);
        *self = known.ok_or_else(|| from.expected("a kind of refusal"))?.1;
        Ok(())
    }
}

impl Refusal {
    /// An argument is wrong.
    ///
    /// The sentence may hold what was asked: it is cut and cleaned.
    pub fn invalid(message: impl AsRef<str>) -> Refusal {
        Refusal { code: Code::Invalid, message: outside::clean(message.as_ref(), 2 * outside::SENTENCE) }
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Refusal {
        Refusal { code: Code::Failed, message: message.into() }
    }
}

/// The error envelope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorAnswer {
    /// Why not.
    pub error: Refusal,
}

/// Why an address is banned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reason {
    /// `listed`, `announced`, `tagged`, `port`, `login`, `comment`, or of a list `tags`, its words
    /// about the address, or `name`, the host name that stands for it.
    pub kind: String,
    /// Tag, service or comment; a stranger may have written it. Of `listed`, where it is asked about one address: the
    /// countries of the list.
    pub text: Option<String>,
    /// `tcp`, `udp`, `icmp`, or the protocol's number.
    pub protocol: Option<String>,
    /// Destination port.
    pub port: Option<u16>,
}

/// One ban.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ban {
    /// Address or network.
    pub address: String,
    /// Who bans.
    pub source: String,
    /// Since when.
    pub since: u64,
    /// Until when; absent: until taken back.
    pub until: Option<u64>,
    /// Seconds until then.
    pub left: Option<u64>,
    /// With the source `manual`: in whose name, `config`, `owner` or a program's.
    pub by: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Why this ban is not in force: the address is protected, or allowed.
    pub withheld: Option<String>,
    /// How often this router has banned the address so far.
    pub offences: Option<u32>,
}

/// One allowance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowance {
    /// Address or network.
    pub address: String,
    /// `config`, `command` or `nats`.
    pub origin: String,
    /// The owner's comment.
    pub comment: Option<String>,
    /// Until when; absent: until taken back.
    pub until: Option<u64>,
    /// Seconds until then.
    pub left: Option<u64>,
}

/// A `config block` that is a rule of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Address or network.
    pub address: String,
    /// `any`, `tcp`, `udp` or `icmp`.
    pub proto: String,
    /// Ports and ranges; empty: all.
    pub dest_ports: Vec<String>,
    /// `drop` or `reject`.
    pub action: String,
    /// The owner's comment.
    pub comment: Option<String>,
}

/// A feed's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feed {
    /// `dynfw` or `nats`.
    pub name: String,
    /// `off`, `connecting`, `synchronising`, `live`, `partial` (connected; the server refuses a part of what
    /// the feed asks for) or `waiting`.
    pub state: String,
    /// As configured; of several the one that it is connected to, or tries.
    pub server: String,
    /// As configured.
    pub port: u16,
    /// CURVE or TLS is configured.
    pub encrypted: bool,
    /// Since when in this state.
    pub since: u64,
    /// With `waiting` and `partial`: what went wrong.
    pub error: Option<String>,
    /// With them: seconds until the next try, from the moment it was said.
    pub retry_in: Option<u32>,
    /// Moment of the last message.
    pub last_message: Option<u64>,
    /// Addresses banned by this feed now.
    pub entries: u64,
    /// DynFW: the last serial applied.
    pub serial: Option<u64>,
    /// Whole lists taken since the daemon started.
    pub lists: u64,
    /// Resynchronisations since the daemon started.
    pub resyncs: u64,
    /// Messages received since the daemon started.
    pub messages: u64,
    /// Messages refused since the daemon started.
    pub refused_messages: u64,
    /// Single addresses refused since the daemon started.
    pub refused_addresses: u64,
    /// Why the last refused message was refused.
    pub last_refusal: Option<String>,
    /// DynFW: seconds without contact after which its bans lapse.
    pub max_age: Option<u64>,
    /// DynFW, without contact: seconds until its bans lapse.
    pub lapses_in: Option<u64>,
    /// DisWall: the login.
    pub account: Option<String>,
    /// DisWall: it follows a hub, not DisWall's server.
    pub hub: bool,
    /// With it: moment of the hub's last sign of life.
    pub hub_heard: Option<u64>,
    /// A list: what its entries are: `block`, `allow` or `only`.
    pub list: Option<String>,
    /// What the owner should know.
    pub notices: Vec<Notice>,
}

/// Something the owner should know about a feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notice {
    /// Stable name of the matter.
    pub key: String,
    /// One sentence.
    pub text: String,
}

/// One of the things that protect, and whether it does. Only what is switched on is a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Stable name: `zone.<name>` or `devices` (the rules that guard them), `feed.dynfw`, `feed.nats`,
    /// `share`, `scan`, `login`, `disconnect`, `keep`, `log`, `config`.
    pub name: String,
    /// Whether it does what it is there for.
    pub state: PartState,
    /// Why not, as a sentence; with `in_force`, what the owner may want to know.
    pub why: Option<String>,
    /// What is lost meanwhile.
    pub lost: Option<String>,
    /// What the owner can do.
    pub remedy: Option<String>,
}

impl Part {
    /// It does what it is there for.
    pub fn in_force(name: impl Into<String>) -> Part {
        Part { name: name.into(), ..Part::default() }
    }

    /// It will, without anybody's doing.
    pub fn waiting(name: impl Into<String>, why: impl Into<String>) -> Part {
        Part { state: PartState::Waiting, why: Some(why.into()), ..Part::in_force(name) }
    }

    /// It does not, and somebody has to see to it.
    pub fn broken(name: impl Into<String>, why: impl Into<String>) -> Part {
        Part { state: PartState::Broken, ..Part::waiting(name, why) }
    }

    /// The same, with what is lost meanwhile.
    #[must_use]
    pub fn losing(self, lost: impl Into<String>) -> Part {
        Part { lost: Some(lost.into()), ..self }
    }

    /// The same, with what the owner can do.
    #[must_use]
    pub fn remedied(self, remedy: impl Into<String>) -> Part {
        Part { remedy: Some(remedy.into()), ..self }
    }
}

/// How a part is; the worst is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartState {
    /// It does what it is there for.
    #[default]
    InForce,
    /// It does not yet, or lives on what it had; nobody needs to do anything.
    Waiting,
    /// It does not.
    Broken,
}

impl PartState {
    const NAMES: [(&'static str, PartState); 3] =
        [("in_force", PartState::InForce), ("waiting", PartState::Waiting), ("broken", PartState::Broken)];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        PartState::NAMES.iter().find(|(_, state)| *state == self).map_or("broken", |(name, _)| name)
    }
}

impl Json for PartState {
    fn write(&self, out: &mut String) {
        json::write_text(out, self.name());
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        let name = from.text()?;
        let known = PartState::NAMES.iter().find(|(known, _)| *known == name);
        *self = known.ok_or_else(|| from.expected("a part's state"))?.1;
        Ok(())
    }
}

/// Something the owner should know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// Stable name of the matter: `firewall`, `feed.dynfw`, `cut.dynfw`, …
    pub key: String,
    /// `error`, `warning` or `notice`.
    pub severity: String,
    /// One sentence.
    pub text: String,
}

/// The firewall's side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Firewall {
    /// nftables table, family inet.
    pub table: String,
    /// Prefix of set names.
    pub prefix: String,
    /// Guarded zones.
    pub zones: Vec<String>,
    /// `ok`, `missing` or `error`.
    pub state: String,
    /// What is wrong.
    pub error: Option<String>,
    /// How often sets had to be put right since the daemon started.
    pub refills: u64,
    /// When the last time.
    pub last_refill: Option<u64>,
}

/// Entries over all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Addresses and networks.
    pub total: u64,
    /// Single IPv4 addresses.
    pub v4: u64,
    /// Single IPv6 addresses.
    pub v6: u64,
}

/// One source's bans and drops.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceCounts {
    /// Its name.
    pub name: String,
    /// Single IPv4 addresses.
    pub v4: u64,
    /// Single IPv6 addresses.
    pub v6: u64,
    /// Networks of both families.
    pub networks: u64,
    /// Bans that the kernel does not get because the address is protected.
    pub withheld: u64,
    /// Entries cut because of `max_entries`.
    pub cut: u64,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Packets dropped in the last 60 minutes.
    pub packets_hour: u64,
    /// Bytes dropped in the last 60 minutes.
    pub bytes_hour: u64,
}

/// Drops over all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dropped {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets in the last 60 minutes.
    pub packets_hour: u64,
    /// Bytes in the last 60 minutes.
    pub bytes_hour: u64,
    /// Counted since.
    pub since: u64,
}

/// Allowances by origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowanceCounts {
    /// `config allow`.
    pub config: u64,
    /// `diswall allow --timeout`.
    pub command: u64,
    /// DisWall's.
    pub nats: u64,
}

/// Answer to [`Request::Status`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Program version.
    pub version: String,
    /// Wall clock.
    pub now: u64,
    /// Seconds the daemon has run.
    pub uptime: u64,
    /// By the worst part: `protected`; `local` (the same, and no feed is switched on); `waiting`; `degraded`
    /// (something is broken); `unprotected` (the rules are not in force); `off`.
    pub state: String,
    /// Everything that is switched on, and whether it is in force.
    pub parts: Vec<Part>,
    /// No feed is connected to, by configuration.
    pub local_only: bool,
    /// Worst first.
    pub problems: Vec<Problem>,
    /// The firewall's side.
    pub firewall: Firewall,
    /// Entries over all sources.
    pub bans: Totals,
    /// Every source.
    pub sources: Vec<SourceCounts>,
    /// Drops over all sources.
    pub dropped: Dropped,
    /// Allowances by origin.
    pub allowances: AllowanceCounts,
    /// Both feeds.
    pub feeds: Vec<Feed>,
    /// The router's own eyes.
    pub scan: Scan,
    /// What leaves the router.
    pub sharing: Sharing,
    /// Resident memory of the daemon in KiB.
    pub memory: u64,
}

/// The router's own eyes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// `off`, `on` or `error`.
    pub state: String,
    /// With `error`: what is wrong.
    pub error: Option<String>,
    /// Sources that touched closed ports and are not banned for it yet.
    pub suspects: u64,
    /// Suspects that had to be forgotten for want of room since the start, those first who had done least.
    pub forgotten: u64,
    /// Bans by the router itself in the last 60 minutes.
    pub bans_hour: u64,
}

/// What leaves the router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sharing {
    /// Bans are shared.
    pub bans: bool,
    /// Hourly statistics are sent.
    pub statistics: bool,
    /// Under which login, while DisWall's feed runs.
    pub account: Option<String>,
    /// Messages that wait for a connection.
    pub queued: u64,
}

/// Answer to [`Request::Feeds`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feeds {
    /// Wall clock.
    pub now: u64,
    /// Both feeds.
    pub feeds: Vec<Feed>,
}

/// Answer to [`Request::Bans`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Wall clock.
    pub now: u64,
    /// All bans.
    pub total: u64,
    /// Those that pass the filter.
    pub matched: u64,
    /// Rows passed over.
    pub offset: u32,
    /// The rows.
    pub bans: Vec<Ban>,
}

/// Answer to [`Request::Check`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Wall clock.
    pub now: u64,
    /// As it was understood.
    pub address: String,
    /// `blocked`, `allowed`, `protected`, `partly` or `clear`.
    pub verdict: String,
    /// The answer in one sentence.
    pub sentence: String,
    /// Every ban of it.
    pub bans: Vec<Ban>,
    /// Every allowance of it.
    pub allowances: Vec<Allowance>,
    /// Every rule that names it.
    pub rules: Vec<Rule>,
    /// Why it is never banned.
    pub protected: Option<String>,
}

/// Answer to [`Request::Allowances`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowances {
    /// Wall clock.
    pub now: u64,
    /// All allowances.
    pub total: u64,
    /// Those that pass the filter.
    pub matched: u64,
    /// Rows passed over.
    pub offset: u32,
    /// The rows.
    pub allowances: Vec<Allowance>,
}

/// Answer to [`Request::Resync`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resynced {
    /// The feeds that were asked for a fresh list.
    pub feeds: Vec<String>,
}

/// Something that happened: a line of `watch`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// Number of the event in this run of the daemon.
    pub id: u64,
    /// When.
    pub at: u64,
    /// `ban`, `unban`, `allow`, `disallow`, `feed`, `firewall`, `scan`, `login`, `config`, `event` (Sentinel saw it), or `missed` (the
    /// reader was too slow).
    pub kind: String,
    /// Address or network.
    pub address: Option<String>,
    /// Source or feed.
    pub source: Option<String>,
    /// Until when.
    pub until: Option<u64>,
    /// Why.
    pub reason: Option<Reason>,
    /// A sentence.
    pub text: Option<String>,
}

fields!(HistoryQuery { hours });
fields!(ReportQuery { days });
fields!(Report {
    now,
    days,
    kept,
    since,
    packets,
    bytes,
    bans,
    looks,
    trouble,
    looked,
    outgoing,
    sources,
    placed,
    places,
    unplaced,
    ports,
    hosts,
    by_day,
    allowed,
    allowed_total,
});
fields!(ReportSource { name, title, packets, bytes, bans, looked, alone, entries, compared, only } omit_empty { gone });
fields!(ReportPlace { list, title, packets });
fields!(ReportPort { protocol, port, packets });
fields!(ReportHost { address, packets, days, last, protocol, port, place, sources, reason });
fields!(ReportDay { start, packets, bytes, bans, hours });
fields!(ReportAllowed { address, origin, comment, sources });
fields!(EventsQuery { cursor, limit } omit_empty { kinds });
fields!(BanCommand { addresses, timeout, comment, force, by, batch, more });
fields!(UnbanCommand { addresses, source, by, reload } omit_empty { unlisted });
fields!(ClearCommand { by });
fields!(ExemptCommand { addresses, timeout, comment, batch, more, reload });
fields!(ExplainCommand { addresses, reload });
fields!(KickCommand { addresses });
fields!(Done { done });
fields!(DoneRow { address, text, connections } omit_empty { sources });
fields!(History { now, end, step, hours, sources });
fields!(HistorySource { name, packets, bytes, bans });
fields!(Events { now, cursor, missed, events } omit_empty { restarted });
fields!(Nothing {});
fields!(ListQuery { source, search, family, sort, desc, offset, limit });
fields!(CheckQuery { address });
fields!(AllowancesQuery { origin, search, offset, limit });
fields!(WatchQuery { source, address });
fields!(ResyncQuery { source });
fields!(Refusal { code, message });
fields!(ErrorAnswer { error });
fields!(Reason { kind, text, protocol, port });
fields!(Ban { address, source, since, until, left, by, reason, withheld, offences });
fields!(Allowance { address, origin, comment, until, left });
fields!(Rule { address, proto, dest_ports, action, comment });
fields!(Feed {
    name,
    state,
    server,
    port,
    encrypted,
    since,
    error,
    retry_in,
    last_message,
    entries,
    serial,
    lists,
    resyncs,
    messages,
    refused_messages,
    refused_addresses,
    last_refusal,
    max_age,
    lapses_in,
    account,
    hub,
    hub_heard,
    list,
    notices,
});
fields!(Notice { key, text });
fields!(Part { name, state, why, lost, remedy });
fields!(Problem { key, severity, text });
fields!(Firewall { table, prefix, zones, state, error, refills, last_refill });
fields!(Totals { total, v4, v6 });
fields!(SourceCounts { name, v4, v6, networks, withheld, cut, packets, bytes, packets_hour, bytes_hour });
fields!(Dropped { packets, bytes, packets_hour, bytes_hour, since });
fields!(AllowanceCounts { config, command, nats });
fields!(Status {
    version,
    now,
    uptime,
    state,
    parts,
    local_only,
    problems,
    firewall,
    bans,
    sources,
    dropped,
    allowances,
    feeds,
    scan,
    sharing,
    memory,
});
fields!(Scan { state, error, suspects, forgotten, bans_hour });
fields!(Sharing { bans, statistics, account, queued });
fields!(Feeds { now, feeds });
fields!(Page { now, total, matched, offset, bans });
fields!(Check { now, address, verdict, sentence, bans, allowances, rules, protected });
fields!(Allowances { now, total, matched, offset, allowances });
fields!(Resynced { feeds });
fields!(Activity { id, at, kind, address, source, until, reason, text });
