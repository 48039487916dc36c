//! Decisions as they are gathered from one answer, small enough for a router: their reasons are numbers of texts
//! that all answers share. Pure; `client` fills and empties it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::{Entry, Lifetime, List, Listed, Reason, Run};

/// Most reasons that are told apart. A server with all of CrowdSec's scenarios has a few hundred.
const TEXTS: usize = 1024;

/// Reasons by number; once known, a reason keeps its number.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Vec<Box<str>>,
    /// Their numbers in the order of the texts.
    order: Vec<u16>,
}

impl Texts {
    /// The number of a text. When there are too many, all others share the last one's.
    pub fn number(&mut self, text: &str) -> u16 {
        let texts = &self.texts;
        let known = |number: &u16| texts.get(usize::from(*number)).map_or("", |known| known).cmp(text);
        match self.order.binary_search_by(known) {
            Ok(at) => self.order.get(at).copied().unwrap_or_default(),
            Err(at) => {
                let number = u16::try_from(texts.len()).unwrap_or(u16::MAX);
                if texts.len() > TEXTS {
                    return number - 1;
                }
                let text = if texts.len() < TEXTS { text } else { "" };
                self.texts.push(text.into());
                if usize::from(number) < TEXTS {
                    self.order.insert(at, number);
                }
                number
            }
        }
    }

    /// The text of that number.
    pub fn get(&self, number: u16) -> &str {
        self.texts.get(usize::from(number)).map_or("", |text| text)
    }

    /// As a ban's reason.
    pub fn reason(&self, number: u16) -> Reason {
        match self.get(number) {
            "" => Reason::Announced,
            text => Reason::Tagged(text.into()),
        }
    }
}

/// An address, how long it is to be banned, and the number of the reason.
type Reasoned<A> = (Listed<A>, u16);

/// What an answer says is to be banned.
#[derive(Debug, Default)]
pub struct Rows {
    v4: Vec<Reasoned<Ipv4Addr>>,
    v6: Vec<Reasoned<Ipv6Addr>>,
    nets: Vec<(IpNet, u32, u16)>,
    /// Those for which there was no room.
    pub cut: u32,
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.nets.len()
    }

    /// One more, if there are not `most` already.
    pub fn push(&mut self, net: IpNet, seconds: u32, why: u16, most: usize) {
        if self.len() >= most {
            self.cut = self.cut.saturating_add(1);
            return;
        }
        let lifetime = Lifetime::Seconds(seconds);
        match net.addr() {
            _ if net.prefix_len() < net.max_prefix_len() => self.nets.push((net, seconds, why)),
            IpAddr::V4(address) => self.v4.push((Listed { address, lifetime }, why)),
            IpAddr::V6(address) => self.v6.push((Listed { address, lifetime }, why)),
        }
    }

    /// Every one, in no order.
    pub fn for_each(&self, mut f: impl FnMut(IpNet, u32, u16)) {
        let seconds = |lifetime: Lifetime| lifetime.seconds().and_then(|left| u32::try_from(left).ok()).unwrap_or(0);
        self.v4.iter().for_each(|(row, why)| f(IpAddr::V4(row.address).into(), seconds(row.lifetime), *why));
        self.v6.iter().for_each(|(row, why)| f(IpAddr::V6(row.address).into(), seconds(row.lifetime), *why));
        self.nets.iter().for_each(|&(net, seconds, why)| f(net, seconds, why));
    }

    /// A whole list of it: of several decisions about the same, the one that ends last.
    pub fn into_list(self, texts: &Texts) -> List {
        let Rows { mut v4, mut v6, mut nets, cut } = self;
        let (runs4, runs6) = (in_runs(&mut v4), in_runs(&mut v6));
        let runs = runs4.into_iter().map(|(v4, why)| Run { v4, v6: 0, reason: texts.reason(why) });
        let runs = runs.chain(runs6.into_iter().map(|(v6, why)| Run { v4: 0, v6, reason: texts.reason(why) }));
        nets.sort_unstable_by_key(|&(net, seconds, _)| (net, u32::MAX - seconds));
        nets.dedup_by_key(|(net, ..)| *net);
        let entry =
            |(net, seconds, why)| Entry { net, lifetime: Lifetime::Seconds(seconds), comment: texts.get(why).into() };
        List {
            runs: runs.collect(),
            v4: v4.into_iter().map(|(listed, _)| listed).collect(),
            v6: v6.into_iter().map(|(listed, _)| listed).collect(),
            nets: nets.into_iter().map(entry).collect(),
            cut,
        }
    }
}

/// Leaves of each address the row that ends last, and puts those of one reason together; how many those are.
fn in_runs<A: Ord + Copy>(rows: &mut Vec<Reasoned<A>>) -> Vec<(usize, u16)> {
    rows.sort_unstable_by_key(|(listed, _)| (listed.address, u64::MAX - listed.lifetime.seconds().unwrap_or(0)));
    rows.dedup_by_key(|(listed, _)| listed.address);
    rows.sort_unstable_by_key(|(_, why)| *why);
    rows.chunk_by(|one, other| one.1 == other.1).map(|run| (run.len(), run.first().map_or(0, |row| row.1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_an_end() {
        let mut texts = Texts::default();
        for round in 0..2 {
            for n in 0..TEXTS {
                assert_eq!(usize::from(texts.number(&format!("reason {n}"))), n, "{round}");
            }
        }
        let other = texts.number("one more");
        assert_eq!(texts.number("and another"), other);
        assert_eq!((texts.get(other), texts.reason(other)), ("", Reason::Announced));
        assert_eq!(texts.reason(7), Reason::Tagged("reason 7".into()));
        assert!(texts.texts.len() <= TEXTS + 1);
    }

    #[test]
    fn a_list_has_the_longest_of_each_by_reason() {
        let mut texts = Texts::default();
        let (ssh, http) = (texts.number("ssh"), texts.number("http"));
        let mut rows = Rows::default();
        for (net, seconds, why) in [
            ("203.0.113.1/32", 5, ssh),
            ("203.0.113.2/32", 6, http),
            ("203.0.113.1/32", 9, http),
            ("203.0.113.3/32", 7, ssh),
            ("203.0.113.1/32", 7, ssh),
            ("2001:db8::1/128", 8, http),
            ("198.51.100.0/24", 3, ssh),
            ("198.51.100.0/24", 4, http),
            ("198.51.100.0/24", 2, http),
            ("192.0.2.1/32", 1, ssh),
        ] {
            rows.push(net.parse().unwrap(), seconds, why, 9);
        }
        let list = rows.into_list(&texts);
        let shown =
            |address: &str, seconds| Listed { address: address.parse().unwrap(), lifetime: Lifetime::Seconds(seconds) };
        let mut http4 = list.v4[1..].to_vec();
        http4.sort_by_key(|listed| listed.address);
        assert_eq!(
            (list.v4[0], http4),
            (shown("203.0.113.3", 7), vec![shown("203.0.113.1", 9), shown("203.0.113.2", 6)])
        );
        let run = |v4, v6, text: &str| Run { v4, v6, reason: Reason::Tagged(text.into()) };
        assert_eq!(list.runs, [run(1, 0, "ssh"), run(2, 0, "http"), run(0, 1, "http")]);
        let nets: Vec<_> = list.nets.iter().map(|entry| (entry.lifetime, &*entry.comment)).collect();
        assert_eq!((nets, list.cut), (vec![(Lifetime::Seconds(4), "http")], 1));
    }
}
