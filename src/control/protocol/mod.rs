//! What is said over the control socket: one JSON object a line each way.
//!
//! The same objects are the answers of `diswall rpcd` and of every `--json`. Conventions: a field that
//! does not apply is absent, integers only, durations in whole seconds, moments in Unix seconds of the
//! router's wall clock with `now` beside them. Unknown keys in a request are ignored (rpcd adds some).

mod activity;
mod bans;
mod commands;
mod report;
mod status;

use crate::json::{self, Error, Json, Reader, fields};
use crate::outside;

pub use activity::{Activity, Events, EventsQuery, History, HistoryQuery, HistorySource, WatchQuery};
pub use bans::{Allowance, Allowances, AllowancesQuery, Ban, Check, CheckQuery, ListQuery, Page, Reason, Rule};
pub use commands::{BanCommand, ClearCommand, Done, DoneRow, ExemptCommand, ExplainCommand, KickCommand, UnbanCommand};
pub use report::{Report, ReportAllowed, ReportDay, ReportHost, ReportPlace, ReportPort, ReportQuery, ReportSource};
pub use status::{
    AllowanceCounts, Dropped, Feed, Feeds, Firewall, Notice, Part, PartState, Problem, ResyncQuery, Resynced, Scan,
    Sharing, SourceCounts, Status, Totals,
};

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

/// A request without arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nothing {}

fields!(Nothing {});

/// An answer that says no. On the wire: `{"error":{"code":…,"message":…}}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// What kind of no.
    pub code: Code,
    /// One sentence for people; names the value and what is accepted.
    pub message: String,
}

fields!(Refusal { code, message });

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

fields!(ErrorAnswer { error });
