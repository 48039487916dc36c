//! What changes something, asked for and answered: bans and allowances by command, and ends of connections.

use crate::json::fields;

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

fields!(BanCommand { addresses, timeout, comment, force, by, batch, more });

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

fields!(UnbanCommand { addresses, source, by, reload } omit_empty { unlisted });

/// Whose bans to take back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClearCommand {
    /// The holder.
    pub by: String,
}

fields!(ClearCommand { by });

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
    /// For [`super::Request::Unexempt`], as of [`UnbanCommand`].
    pub reload: bool,
}

fields!(ExemptCommand { addresses, timeout, comment, batch, more, reload });

/// Addresses of which something is to be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExplainCommand {
    /// Addresses and networks; none: only `reload` is wanted.
    pub addresses: Vec<String>,
    /// As of [`UnbanCommand`].
    pub reload: bool,
}

fields!(ExplainCommand { addresses, reload });

/// Addresses whose connections are to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KickCommand {
    /// Addresses and networks.
    pub addresses: Vec<String>,
}

fields!(KickCommand { addresses });

/// Answer to everything that changes something: all or nothing was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// A row for each address, in their order.
    pub done: Vec<DoneRow>,
}

fields!(Done { done });

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

fields!(DoneRow { address, text, connections } omit_empty { sources });
