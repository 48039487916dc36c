//! `config allow` and `config block`: the owner's own lists.

use ipnet::IpNet;

use super::Settings;
use crate::options::uci::Section;
use crate::options::value::{self, Action, PortRange, Proto};
use crate::options::{Checks, Given, LeftOut, Many, Reader, Severity, list, one, section::Read};

/// Most host names in `config allow` and `config block` together.
pub const MAX_NAMES: usize = 32;

/// `config allow`.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// `ip`: address or network, host bits zero.
    pub net: IpNet,
    /// `comment`.
    pub comment: String,
}

/// A `config allow` or `config block` of a host name, whose addresses are looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// `ip`: the name.
    pub name: String,
    /// Allowed, or blocked?
    pub allow: bool,
    /// `comment`.
    pub comment: String,
}

/// `config block`.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// `ip`: address or network, host bits zero.
    pub net: IpNet,
    /// `comment`.
    pub comment: String,
    /// `proto`.
    pub proto: Proto,
    /// `dest_port`; empty means every port.
    pub dest_ports: Vec<PortRange>,
    /// `action`; `None` means `main.action`.
    pub action: Option<Action>,
    /// `log`: its packets are logged, whatever `main.log_drops` says.
    pub log: bool,
}

/// What such a section is about.
pub enum NetOrName<T> {
    /// An address or a network.
    Net(T),
    /// A host's name.
    Name(Named),
}

/// What `ip` says.
enum Host {
    Net(IpNet),
    Name(String),
}

/// `config allow` while it is read.
#[derive(Default)]
pub struct AllowDraft {
    host: Option<Host>,
    comment: String,
}

/// The sections of what is allowed.
pub const ALLOW: Many<AllowDraft, NetOrName<Allow>> = Many {
    options: &[
        one("ip", |allow, given| host(&mut allow.host, given)),
        one("comment", |allow, given| comment(&mut allow.comment, given)),
    ],
    needed: &["ip"],
    build: allow,
};

/// `config block` while it is read.
#[derive(Default)]
pub struct BlockDraft {
    host: Option<Host>,
    comment: String,
    proto: Proto,
    dest_ports: Vec<PortRange>,
    action: Option<Action>,
    log: bool,
    force: bool,
}

/// The sections of what is blocked.
pub const BLOCK: Many<BlockDraft, NetOrName<Block>> = Many {
    options: &[
        one("ip", |block, given| host(&mut block.host, given)),
        one("comment", |block, given| comment(&mut block.comment, given)),
        one("proto", |block, given| given.set(&mut block.proto, value::proto)),
        list("dest_port", |block, given| given.add(&mut block.dest_ports, value::port_range)),
        one("action", |block, given| given.set(&mut block.action, |text| value::action(text).map(Some))),
        one("log", |block, given| given.set(&mut block.log, value::boolean)),
        one("force", |block, given| given.set(&mut block.force, value::boolean)),
    ],
    // Without these it would block more than was meant.
    needed: &["ip", "proto", "dest_port"],
    build: block,
};

fn host(into: &mut Option<Host>, given: Given<'_>) -> Read {
    let text = given.text();
    if text.is_empty() {
        return Ok(None);
    }
    match value::net_or_near(text) {
        Ok((net, near)) => {
            *into = Some(Host::Net(net));
            Ok(near)
        }
        Err(error) => {
            *into = Some(Host::Name(value::host(text).ok_or(error)?));
            Ok(None)
        }
    }
}

fn comment(into: &mut String, given: Given<'_>) -> Read {
    let (comment, cut) = value::comment_cut(given.text());
    *into = comment;
    Ok(cut)
}

fn allow(draft: AllowDraft, section: &mut Checks<'_, '_>) -> Result<Option<NetOrName<Allow>>, LeftOut> {
    let AllowDraft { host, comment } = draft;
    let net = match host {
        Some(Host::Net(net)) => net,
        Some(Host::Name(name)) => return Ok(Some(NetOrName::Name(Named { name, allow: true, comment }))),
        None => return Err(without_ip("allow", section)),
    };
    if value::is_everything(&net) {
        let message = format!("allow {net}: every address of that family is exempt, so diswall blocks none of them");
        section.warn(Some("ip"), message);
    }
    Ok(Some(NetOrName::Net(Allow { net, comment })))
}

fn block(draft: BlockDraft, section: &mut Checks<'_, '_>) -> Result<Option<NetOrName<Block>>, LeftOut> {
    let BlockDraft { host, comment, proto, dest_ports, action, log, force } = draft;
    let net = match host {
        Some(Host::Net(net)) => net,
        Some(Host::Name(name)) => {
            if proto != Proto::Any || !dest_ports.is_empty() || action.is_some() || log {
                let message = format!(
                    "{name}: a host name is blocked as a whole; proto, dest_port, action and log need an address"
                );
                return Err(section.refuse(Some("ip"), message));
            }
            return Ok(Some(NetOrName::Name(Named { name, allow: false, comment })));
        }
        None => return Err(without_ip("block", section)),
    };
    if value::is_everything(&net) {
        let effect = format!("block {net}: every address of that family, so that nothing from outside gets in");
        if !force {
            let message = format!("{effect}; add option force '1' if that is meant");
            return Err(section.refuse(Some("ip"), message));
        }
        section.warn(Some("ip"), effect);
    }
    if !dest_ports.is_empty() && !matches!(proto, Proto::Tcp | Proto::Udp) {
        let message = "dest_port needs option proto 'tcp' or 'udp' beside it".to_owned();
        return Err(section.refuse(Some("dest_port"), message));
    }
    Ok(Some(NetOrName::Net(Block { net, comment, proto, dest_ports, action, log })))
}

fn without_ip(kind: &str, section: &mut Checks<'_, '_>) -> LeftOut {
    section.refuse(None, format!("config {kind} without option ip, an address or a network"))
}

/// Reads a `config allow` into the settings.
pub(super) fn read_allow<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, settings: &mut Settings) {
    match reader.many(section, &ALLOW) {
        Some(NetOrName::Net(allow)) => settings.allow.push(allow),
        Some(NetOrName::Name(named)) => keep(reader, section, settings, named),
        None => {}
    }
}

/// Reads a `config block` into the settings.
pub(super) fn read_block<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, settings: &mut Settings) {
    match reader.many(section, &BLOCK) {
        Some(NetOrName::Net(block)) => settings.block.push(block),
        Some(NetOrName::Name(named)) => keep(reader, section, settings, named),
        None => {}
    }
}

/// Keeps a host name beside the addresses.
fn keep<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, settings: &mut Settings, named: Named) {
    if settings.named.len() < MAX_NAMES {
        return settings.named.push(named);
    }
    let message = format!("{}: only {MAX_NAMES} host names are looked up", named.name);
    reader.problems.add(section.line_of("ip"), Severity::Error, message);
    reader.leave_out(section);
}
