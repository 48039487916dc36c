//! Users that dropbear does not let in at all, because they do not exist, have no shell or no password: it says
//! so without the address, which comes when the connection ends.
//!
//! Joins the two lines by their process. Pure and bounded. The daemon's `logins` asks it beside the patterns
//! of `known`.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::{Line, Pattern};

/// Attempts whose connection has not ended; the oldest give way. dropbear lets few in at once.
const OPEN: usize = 256;

/// Longest process id.
const ID: usize = 10;

/// See the module's head.
#[derive(Debug)]
pub struct Strangers {
    /// The process of each attempt.
    open: VecDeque<Box<[u8]>>,
    end: Option<Pattern>,
}

impl Strangers {
    /// Nobody has tried yet.
    pub fn new() -> Strangers {
        // The user's name stands behind the address.
        let end = Pattern::new("Exit before auth from <<HOST>:<NUM>>: *").ok();
        Strangers { open: VecDeque::new(), end }
    }

    /// Takes in a line. Where a connection ends in which such users were tried: from where, and how often.
    pub fn take(&mut self, line: &Line<'_>) -> Option<(IpAddr, usize)> {
        let process = line.process.filter(|process| line.is_of("dropbear") && process.len() <= ID)?;
        if is_refusal(line.message) {
            if self.open.len() >= OPEN {
                self.open.pop_front();
            }
            self.open.push_back(process.into());
            return None;
        }
        let address = self.end.as_ref()?.address(line.message)?;
        let before = self.open.len();
        self.open.retain(|open| **open != *process);
        Some((address, before - self.open.len())).filter(|(_, attempts)| *attempts > 0)
    }
}

/// A user's name is quoted here only where the system has that user.
fn is_refusal(message: &[u8]) -> bool {
    const ENDS: [&[u8]; 2] = [b"' has invalid shell, rejected", b"' has blank password, rejected"];
    message == b"Login attempt for nonexistent user"
        || message == b"root login rejected"
        || message.starts_with(b"User '") && ENDS.iter().any(|end| message.ends_with(end))
}

impl Default for Strangers {
    fn default() -> Strangers {
        Strangers::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn attempts_and_addresses_are_joined() {
        let mut strangers = Strangers::new();
        let table = [
            ("[1] Nov 21 10:00:00 Login attempt for nonexistent user", None),
            ("[2] Nov 21 10:00:00 Login attempt for nonexistent user", None),
            ("[1] Nov 21 10:00:00 Login attempt for nonexistent user", None),
            ("[3] Nov 21 10:00:00 Exit before auth from <203.0.113.3:9>: Exited normally", None),
            ("Nov 21 10:00:00 h sshd[1]: Exit before auth from <203.0.113.3:9>: Exited normally", None),
            (
                "[1] Nov 21 10:00:00 Exit before auth from <203.0.113.1:9>: Max - user 'is invalid'",
                Some(("203.0.113.1", 2)),
            ),
            ("[1] Nov 21 10:00:00 Exit before auth from <203.0.113.1:9>: Exited normally", None),
            (
                "Sat Nov 21 10:00:00 2026 a.b dropbear[2]: Exit before auth from <2001:db8::1:9>: x <1.2.3.4:5>: ",
                Some(("2001:db8::1", 1)),
            ),
        ];
        let table = table.into_iter().chain([
            ("[4] Nov 21 10:00:00 User 'nobody' has invalid shell, rejected", None),
            ("[4] Nov 21 10:00:00 User 'guest' has blank password, rejected", None),
            ("[4] Nov 21 10:00:00 root login rejected", None),
            ("[4] Nov 21 10:00:00 User 'root' has invalid shell", None),
            (
                "[4] Nov 21 10:00:00 Exit before auth from <203.0.113.4:9>: (user 'nobody', 1 fails): Exited normally",
                Some(("203.0.113.4", 3)),
            ),
        ]);
        for (text, want) in table {
            let want = want.map(|(address, count)| (address.parse().unwrap(), count));
            assert_eq!(strangers.take(&Line::parse(text.as_bytes())), want, "{text}");
        }
        for process in 0..10_000 {
            strangers.take(&Line::parse(
                format!("[{process}] Nov 21 10:00:00 Login attempt for nonexistent user").as_bytes(),
            ));
        }
        assert_eq!(strangers.open.len(), OPEN);
    }
}
