//! Which lines tell of the same tries: a server may write several about one wrong password, and one about a
//! session in which nothing else was said.
//!
//! The lines of a session have the process in common, or the client's port, or for some services no more than
//! the address. Each of those who tell (`Voice`) tells every try, so a session's tries are the most that any
//! of them told; what is new of them is handed on at once. Pure and bounded: the oldest session gives way,
//! and then its next line counts as if it were the first. `judge` calls it.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::known::{Counts, Voice};
use super::pattern::Found;

/// Sessions that are remembered.
pub const REMEMBERED: usize = 512;

/// Keys that an honest client may offer before the right one.
const KEYS: u16 = 6;

/// Most tries that one line is believed to tell of.
const MOST: u16 = 100;

/// What the lines of one session have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Common {
    /// The process that wrote them.
    Process(u64),
    /// The client's port, in the logs of programs that do not say their process.
    Port(u16),
    /// The address is all.
    Address,
}

/// What a line says of a session.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The service, by its number.
    pub watch: u16,
    /// `None`: it has nothing in common with others, and counts alone.
    pub common: Option<Common>,
    /// How it counts.
    pub counts: Counts,
    /// What the pattern found.
    pub found: Found,
    /// So often it was written.
    pub times: u32,
}

/// Tries to count against an address; fewer than none: to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Who tried.
    pub address: IpAddr,
    /// How often.
    pub tries: i32,
}

#[derive(Debug)]
struct Session {
    watch: u16,
    common: Common,
    address: Option<IpAddr>,
    /// Tries by voice, and those that the session's end tells of.
    voices: [u16; 4],
    keys: u16,
    held: u16,
    /// Tries that were the server's own fault.
    pardoned: u16,
    /// Tries handed on.
    counted: u16,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The one heard of last is the last.
    open: VecDeque<Session>,
}

impl Sessions {
    /// Takes in what a line says. `None`: no address is known yet.
    pub fn take(&mut self, told: Told) -> Option<Tries> {
        let times = told.found.times.unwrap_or(1).min(MOST);
        let all = u16::try_from(told.times.saturating_mul(times.into())).unwrap_or(MOST).min(MOST);
        let Some(common) = told.common else {
            let tries = match told.counts {
                Counts::Try(_) => all,
                Counts::Session => times.max(1),
                _ => 0,
            };
            return Some(Tries { address: told.found.address?, tries: tries.into() });
        };
        let mut session = self.session(&told, common);
        let at = |voice: Voice| voice as usize;
        match told.counts {
            Counts::Try(voice) => add(&mut session.voices[at(voice)], all),
            Counts::Session => session.voices[3] = session.voices[3].max(times).max(1),
            Counts::Key => add(&mut session.keys, all),
            Counts::Held => add(&mut session.held, all),
            Counts::Not => add(&mut session.pardoned, all),
            Counts::Ends | Counts::Success => {}
        }
        if session.address.is_some() {
            let held = std::mem::take(&mut session.held);
            add(&mut session.voices[0], held);
        }
        let Session { voices: [own, pam, event, end], keys, pardoned, counted, .. } = session;
        let [pam, event] = [pam, event].map(|told| told.saturating_sub(pardoned));
        let tries = own.max(pam).max(event).max(end).max(u16::from(keys >= KEYS));
        let answer = match told.counts {
            // Behind a success there may stand one refusal by another part of the server: it asks one after
            // the other.
            Counts::Success => Tries { address: session.address?, tries: -i32::from(counted > own.max(end)) },
            _ => {
                let new = tries.saturating_sub(counted);
                let address = session.address;
                if address.is_some() {
                    session.counted = counted.max(tries);
                }
                // The counters of one who is never banned must not come to their end.
                if tries < u16::MAX / 2 {
                    self.open.push_back(session);
                }
                return address.map(|address| Tries { address, tries: new.into() });
            }
        };
        Some(answer)
    }

    /// How many are remembered.
    pub fn remembered(&self) -> usize {
        self.open.len()
    }

    /// The session the line belongs to, taken out, or a new one.
    fn session(&mut self, told: &Told, common: Common) -> Session {
        let address = told.found.address;
        let same = |session: &Session| session.watch == told.watch && session.common == common;
        // A line that has no address belongs to the last that has the process; a process whose address is not
        // known yet gets it.
        let fits = |session: &Session| same(session) && (session.address == address || address.is_none());
        let open = &self.open;
        let at = open
            .iter()
            .rposition(fits)
            .or_else(|| open.iter().rposition(|session| same(session) && session.address.is_none()));
        if let Some(mut session) = at.and_then(|at| self.open.remove(at)) {
            session.address = session.address.or(address);
            return session;
        }
        if self.open.len() >= REMEMBERED {
            self.open.pop_front();
        }
        Session { watch: told.watch, common, address, voices: [0; 4], keys: 0, held: 0, pardoned: 0, counted: 0 }
    }
}

fn add(counter: &mut u16, more: u16) {
    *counter = counter.saturating_add(more);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PROCESS: Option<Common> = Some(Common::Process(7));

    fn told(counts: Counts, address: &str, common: Option<Common>) -> Told {
        let found = Found { address: address.parse().ok(), ..Found::default() };
        Told { watch: 0, common, counts, found, times: 1 }
    }

    /// What each line of a session of one process adds.
    fn story(lines: &[(Counts, &str)]) -> Vec<i32> {
        let mut sessions = Sessions::default();
        let mut tries = |(counts, address): &(Counts, &str)| {
            sessions.take(told(*counts, address, PROCESS)).map_or(0, |tries| tries.tries)
        };
        lines.iter().map(&mut tries).collect()
    }

    const A: &str = "203.0.113.1";
    const OWN: Counts = Counts::Try(Voice::Own);
    const PAM: Counts = Counts::Try(Voice::Pam);
    const EVENT: Counts = Counts::Try(Voice::Event);

    #[test]
    fn a_try_counts_once_whoever_tells_of_it() {
        // Invalid user, its passwords, the end.
        assert_eq!(story(&[(Counts::Session, A), (OWN, A), (OWN, A), (OWN, A), (Counts::Session, A)]), [1, 0, 1, 1, 0]);
        assert_eq!(story(&[(PAM, A), (OWN, A), (PAM, A), (EVENT, A), (OWN, A), (EVENT, A)]), [1, 0, 1, 0, 0, 0]);
        assert_eq!(story(&[(Counts::Session, A), (Counts::Session, A)]), [1, 0]);
    }

    #[test]
    fn a_success_takes_back_what_another_part_refused() {
        assert_eq!(story(&[(PAM, A), (Counts::Success, A)]), [1, -1]);
        assert_eq!(story(&[(PAM, A), (PAM, A), (Counts::Success, A)]), [1, 1, -1]);
        assert_eq!(story(&[(PAM, A), (OWN, A), (Counts::Success, A)]), [1, 0, 0]);
        assert_eq!(story(&[(Counts::Success, A)]), [0]);
    }

    #[test]
    fn the_servers_own_faults_are_pardoned() {
        assert_eq!(story(&[(Counts::Not, A), (EVENT, A), (PAM, A)]), [0, 0, 0]);
        assert_eq!(story(&[(Counts::Not, A), (OWN, A), (PAM, A), (PAM, A)]), [0, 1, 0, 0]);
    }

    #[test]
    fn keys_are_one_try_after_many() {
        let mut lines = vec![(Counts::Key, A); 8];
        assert_eq!(story(&lines), [0, 0, 0, 0, 0, 1, 0, 0]);
        lines.push((Counts::Session, A));
        assert_eq!(story(&lines).iter().sum::<i32>(), 1);
        assert_eq!(story(&[(Counts::Key, A), (Counts::Success, A)]), [0, 0]);
    }

    #[test]
    fn what_is_held_waits_for_its_address() {
        assert_eq!(
            story(&[(Counts::Held, ""), (Counts::Held, ""), (Counts::Ends, A), (Counts::Ends, A)]),
            [0, 0, 2, 0]
        );
        assert_eq!(story(&[(Counts::Held, ""), (Counts::Session, A)]), [0, 1]);
        // A session that failed without an address is one, whatever its tries were.
        assert_eq!(story(&[(OWN, A), (OWN, A), (Counts::Session, "")]), [1, 1, 0]);
        assert_eq!(story(&[(Counts::Session, ""), (Counts::Ends, A)]), [0, 1]);
        assert_eq!(story(&[(Counts::Ends, A), (Counts::Session, "")]), [0, 1]);
        assert_eq!(story(&[(Counts::Ends, A)]), [0]);
        let mut sessions = Sessions::default();
        sessions.take(told(Counts::Held, "", Some(Common::Process(1))));
        let other = sessions.take(told(Counts::Ends, A, Some(Common::Process(2)))).unwrap();
        assert_eq!(other.tries, 0, "another process");
    }

    #[test]
    fn addresses_of_one_process_are_apart() {
        assert_eq!(story(&[(OWN, A), (OWN, "203.0.113.2"), (PAM, A), (PAM, "203.0.113.2")]), [1, 1, 0, 0]);
    }

    #[test]
    fn what_has_nothing_in_common_counts_alone() {
        let mut sessions = Sessions::default();
        let mut tries = |counts| sessions.take(told(counts, A, None)).unwrap().tries;
        assert_eq!([OWN, PAM, Counts::Session, Counts::Key, Counts::Ends].map(&mut tries), [1, 1, 1, 0, 0]);
    }

    #[test]
    fn numbers_are_believed_up_to_a_bound() {
        let mut sessions = Sessions::default();
        let mut line = told(OWN, A, PROCESS);
        (line.found.times, line.times) = (Some(3), 2);
        assert_eq!(sessions.take(line).unwrap().tries, 6);
        (line.found.times, line.times) = (Some(u16::MAX), u32::MAX);
        assert_eq!(sessions.take(line).unwrap().tries, i32::from(MOST));
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut sessions = Sessions::default();
        for process in 0..10_000 {
            sessions.take(told(OWN, A, Some(Common::Process(process))));
        }
        assert_eq!(sessions.remembered(), REMEMBERED);
    }
}
