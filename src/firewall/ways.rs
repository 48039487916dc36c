//! How packets come to the rules that look addresses up: which chains there are at the kernel's hooks, and
//! which jump where.
//!
//! Sets and chains of ours protect nobody while nothing leads to them: a firewall that could not be loaded
//! leaves them alone in their table, and a rule that somebody deleted leaves one zone open. [`read`] asks
//! the kernel; `sets` calls it, and the daemon judges.

use std::io;

use super::batch::INET;
use super::names::{Names, SetKey};
use super::netlink::{
    Attributes, Dump, Message, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, close_message, open_netfilter, put_str, text,
};
use super::nftables::{CHAIN_HOOK, CHAIN_NAME, CHAIN_TABLE, GETCHAIN, GETRULE, NEWCHAIN, NEWRULE, RULE_CHAIN};

const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const RULE_TABLE: u16 = 1;
const RULE_EXPRESSIONS: u16 = 4;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
const LOOKUP_SET: u16 = 1;

/// Hooks where packets from outside are looked at (`NF_INET_LOCAL_IN`, `NF_INET_FORWARD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets for the router itself.
    Input = 1,
    /// Packets for the machines behind it.
    Forward = 2,
}

impl Hook {
    /// Both.
    pub const ALL: [Hook; 2] = [Hook::Input, Hook::Forward];

    /// As fw4 and nft name it.
    pub const fn name(self) -> &'static str {
        match self {
            Hook::Input => "input",
            Hook::Forward => "forward",
        }
    }
}

type Name = Box<[u8]>;

/// The chains of a table as far as they lead somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Filter chains at one of the two hooks.
    bases: Vec<(Name, u32)>,
    /// From which chain to which, each once.
    jumps: Vec<(Name, Name)>,
    /// Chains with a rule in them.
    filled: Vec<Name>,
    /// Our sets that a rule looks up, each once.
    looked_up: Vec<SetKey>,
}

impl Ways {
    /// Whether the table has a filter chain at that hook at all.
    pub fn has_base(&self, hook: Hook) -> bool {
        self.bases.iter().any(|(_, at)| *at == hook as u32)
    }

    /// Whether the chain has rules.
    pub fn has_rules(&self, chain: &str) -> bool {
        self.filled.iter().any(|name| **name == *chain.as_bytes())
    }

    /// Whether any rule looks the set up.
    pub fn look_up(&self, set: SetKey) -> bool {
        self.looked_up.contains(&set)
    }

    /// Whether packets at that hook come to the chain.
    pub fn lead(&self, hook: Hook, chain: &str) -> bool {
        let bases = self.bases.iter().filter(|(_, at)| *at == hook as u32);
        let mut reached: Vec<&[u8]> = bases.map(|(name, _)| &**name).collect();
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            if at == chain.as_bytes() {
                return true;
            }
            next += 1;
            for (_, to) in self.jumps.iter().filter(|(from, _)| **from == *at) {
                if !reached.contains(&&**to) {
                    reached.push(to);
                }
            }
        }
        false
    }

    /// Whether a rule of the first chain jumps to the second.
    pub fn jumps(&self, from: &str, to: &str) -> bool {
        self.jumps.iter().any(|(at, target)| **at == *from.as_bytes() && **target == *to.as_bytes())
    }

    fn note_chain(&mut self, message: &Message<'_>, names: &Names) {
        let attributes = message.attributes();
        let hook = attributes.get(CHAIN_HOOK).and_then(|hook| Attributes(hook).get(HOOK_NUMBER)).and_then(be32);
        let filters = attributes.get(CHAIN_TYPE).is_some_and(|kind| text(kind) == b"filter");
        if let (true, Some(hook), Some(name)) = (filters, hook, attributes.get(CHAIN_NAME))
            && is_of(attributes, CHAIN_TABLE, names)
            && Hook::ALL.iter().any(|each| *each as u32 == hook)
        {
            self.bases.push((text(name).into(), hook));
        }
    }

    fn note_rule(&mut self, message: &Message<'_>, names: &Names) {
        let attributes = message.attributes();
        let Some(chain) = attributes.get(RULE_CHAIN).map(text).filter(|_| is_of(attributes, RULE_TABLE, names)) else {
            return;
        };
        // Rules of one chain come one after the other.
        if self.filled.last().is_none_or(|last| **last != *chain) {
            self.filled.push(chain.into());
        }
        for (_, expression) in Attributes(attributes.get(RULE_EXPRESSIONS).unwrap_or_default()) {
            if let Some(set) = set_looked_up(Attributes(expression)).and_then(|set| names.find(set))
                && !self.look_up(set)
            {
                self.looked_up.push(set);
            }
            if let Some(target) = target(Attributes(expression))
                && !self.jumps.iter().any(|(from, to)| **from == *chain && **to == *target)
            {
                self.jumps.push((chain.into(), target.into()));
            }
        }
    }
}

/// The chain that a rule sends packets to, if it is one alone.
pub(super) fn jump<'a>(rule: Attributes<'a>) -> Option<&'a [u8]> {
    Attributes(rule.get(RULE_EXPRESSIONS)?).find_map(|(_, expression)| target(Attributes(expression)))
}

/// The set in which a `lookup` expression looks.
fn set_looked_up<'a>(expression: Attributes<'a>) -> Option<&'a [u8]> {
    let is_one = text(expression.get(EXPRESSION_NAME)?) == b"lookup";
    Attributes(expression.get(EXPRESSION_DATA).filter(|_| is_one)?).get(LOOKUP_SET).map(text)
}

/// Where an `immediate` expression sends a packet.
fn target<'a>(expression: Attributes<'a>) -> Option<&'a [u8]> {
    if text(expression.get(EXPRESSION_NAME)?) != b"immediate" {
        return None;
    }
    let data = Attributes(expression.get(EXPRESSION_DATA)?).get(IMMEDIATE_DATA)?;
    Attributes(Attributes(data).get(DATA_VERDICT)?).get(VERDICT_CHAIN).map(text)
}

fn is_of(attributes: Attributes<'_>, kind: u16, names: &Names) -> bool {
    attributes.get(kind).is_some_and(|table| text(table) == names.table.as_bytes())
}

/// Reads the chains and jumps of the table; `None` if the ruleset changed meanwhile.
pub(super) fn read(socket: &mut Socket, names: &Names) -> io::Result<Option<Ways>> {
    let mut ways = Ways::default();
    for (question, answer) in [(GETCHAIN, NEWCHAIN), (GETRULE, NEWRULE)] {
        let sequence = socket.next_sequence();
        let mut request = Vec::new();
        let start = open_netfilter(&mut request, question, NLM_F_REQUEST | NLM_F_DUMP, sequence, INET, 0);
        if question == GETRULE {
            put_str(&mut request, RULE_TABLE, &names.table);
        }
        close_message(&mut request, start);
        let outcome = socket.dump(&request, &mut |message| {
            if message.kind == answer {
                if question == GETCHAIN { ways.note_chain(message, names) } else { ways.note_rule(message, names) }
            }
        });
        match outcome {
            Ok(Dump::Complete) => {}
            Ok(Dump::Interrupted) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(ways))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(bases: &[(&str, Hook)], jumps: &[(&str, &str)]) -> Ways {
        let name = |text: &&str| Name::from(text.as_bytes());
        Ways {
            bases: bases.iter().map(|(chain, hook)| (name(chain), *hook as u32)).collect(),
            jumps: jumps.iter().map(|(from, to)| (name(from), name(to))).collect(),
            filled: jumps.iter().map(|(from, _)| name(from)).collect(),
            looked_up: Vec::new(),
        }
    }

    #[test]
    fn a_way_begins_at_a_hook_and_ends_at_the_chain() {
        let fw4 = [("input", "input_wan"), ("input_wan", "ours"), ("forward_wan", "ours"), ("a", "b"), ("b", "a")];
        let ways = ways(&[("input", Hook::Input), ("forward", Hook::Forward), ("a", Hook::Forward)], &fw4);
        assert!(ways.lead(Hook::Input, "ours") && ways.lead(Hook::Input, "input_wan"));
        assert!(!ways.lead(Hook::Forward, "ours"), "nothing leads to forward_wan; and a circle ends");
        assert!(ways.jumps("forward_wan", "ours") && !ways.jumps("input", "ours"));
        assert!(ways.has_base(Hook::Forward) && ways.has_rules("a") && !ways.has_rules("ours"));
        assert!(!Ways::default().has_base(Hook::Input) && !Ways::default().lead(Hook::Input, "input"));
    }
}
