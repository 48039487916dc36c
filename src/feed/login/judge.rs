//! From a log's lines to the addresses that failed: whose line it is, which sentence, and what it adds.
//!
//! One judge for each log. A line whose program nobody asked about costs one look-up of the program's name.
//! Where two sentences of a service find two addresses in one line, either may be a stranger's words: it is
//! not counted. Pure but for what it remembers (bounded, see `sessions`). `logins` and `diswall logs test` call it.

use std::collections::HashMap;
use std::net::IpAddr;

use super::known::{Counts, Service, Voice};
use super::pattern::Found;
use super::sessions::{Common, Sessions, Told};
use super::{Line, Pattern};

/// A sentence, ready to be looked for.
#[derive(Debug)]
struct Sought {
    watch: u16,
    counts: Counts,
    first: Option<u8>,
    pattern: Pattern,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Judge {
    rows: Vec<Sought>,
    /// The rows of each program.
    programs: HashMap<Box<[u8]>, Vec<u16>>,
    /// The rows of every program.
    everybodys: Vec<u16>,
    /// The watches whose lines have the address alone in common.
    by_address: Vec<u16>,
    /// Lines without a head count: the log is a file that a program may have to itself.
    headless: bool,
    sessions: Sessions,
}

/// What became of a line, at one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts, so often.
    Counts {
        /// Who failed.
        address: IpAddr,
        /// From which port of his, where the line tells.
        port: Option<u16>,
        /// So often.
        tries: u32,
    },
    /// An earlier line told of the same try.
    Joined(IpAddr),
    /// It tells of a session, but of no try.
    NoTry(IpAddr),
    /// A success: a failure told by another part of the program is taken back.
    TakenBack(IpAddr),
    /// Its address comes with another line.
    Held,
    /// Two addresses could be meant.
    TwoHosts,
    /// It may have been cut, and then another line might end like this.
    Cut,
}

impl Judge {
    /// For the system's log, or for a file (`headless`).
    pub fn new(headless: bool) -> Judge {
        Judge { headless, ..Judge::default() }
    }

    /// Looks for a service's sentences, under the number that [`Judge::judge`] answers with.
    pub fn add_service(&mut self, watch: u16, service: &Service) {
        if service.by_address {
            self.by_address.push(watch);
        }
        for sentence in &service.sentences {
            sentence.each(&mut |pattern| {
                // Every sentence compiles: the table's tests see to that.
                if let Ok(pattern) = Pattern::sentence(pattern) {
                    self.add(watch, sentence.counts, pattern, sentence.programs.split(' '));
                }
            });
        }
    }

    /// Looks for the owner's own patterns; without programs: in everybody's lines.
    pub fn add_own(&mut self, watch: u16, programs: &[String], patterns: &[Pattern]) {
        for pattern in patterns {
            let programs = programs.iter().map(String::as_str);
            self.add(watch, Counts::Try(Voice::Own), pattern.clone(), programs);
        }
    }

    fn add<'a>(&mut self, watch: u16, counts: Counts, pattern: Pattern, programs: impl Iterator<Item = &'a str>) {
        let Ok(number) = u16::try_from(self.rows.len()) else { return };
        self.rows.push(Sought { watch, counts, first: pattern.first(), pattern });
        let mut named = false;
        for program in programs {
            self.programs.entry(program.as_bytes().into()).or_default().push(number);
            named = true;
        }
        if !named {
            self.everybodys.push(number);
        }
    }

    /// Judges a line: each watch that it concerns is named once at most.
    pub fn judge(&mut self, line: &Line<'_>, each: &mut dyn FnMut(u16, Verdict)) {
        let mut decision: Option<(u16, Decision)> = None;
        let mut decided = Vec::new();
        self.of(line, &mut |row| {
            if row.first.is_some_and(|first| line.message.first() != Some(&first)) {
                return;
            }
            let Some(found) = row.pattern.find(line.message) else { return };
            let new = Decision { counts: row.counts, found, cut: line.cut && row.pattern.needs_end(), two: false };
            match &mut decision {
                // The rows of a watch stand together.
                Some((watch, before)) if *watch == row.watch => {
                    let other = found.address.is_some() && before.found.address != found.address;
                    before.two |= other && before.found.address.is_some();
                    if other && before.found.address.is_none() {
                        *before = new;
                    }
                }
                _ => decided.extend(decision.replace((row.watch, new))),
            }
        });
        decided.extend(decision);
        for (watch, decision) in decided {
            let verdict = self.decide(watch, line, &decision);
            each(watch, verdict);
        }
    }

    /// Is it a sentence of some watch, but for a name in the address's place? Costs as much as [`Judge::judge`].
    pub fn named(&self, line: &Line<'_>) -> Option<u16> {
        let mut named = None;
        self.of(line, &mut |row| {
            let kind = matches!(row.counts, Counts::Try(_) | Counts::Session);
            if named.is_none() && kind && row.pattern.is_named(line.message) {
                named = Some(row.watch);
            }
        });
        named
    }

    /// Does anybody ask about this line's program?
    pub fn knows(&self, line: &Line<'_>) -> bool {
        let mut known = false;
        self.of(line, &mut |_| known = true);
        known
    }

    /// The rows that may be this line's, those of a watch together.
    fn of(&self, line: &Line<'_>, each: &mut dyn FnMut(&Sought)) {
        let Some(program) = line.program else {
            // A line without a head stands in some program's own log: whose, nobody says.
            if self.headless {
                self.rows.iter().for_each(each);
            }
            return;
        };
        let rows = self.lookup(program).into_iter().chain([&self.everybodys[..]]);
        rows.flatten().filter_map(|number| self.rows.get(usize::from(*number))).for_each(each);
    }

    /// `postfix-out/submission/smtpd` is also `postfix`, `ovpn-home` also `ovpn-`.
    fn lookup(&self, program: &[u8]) -> Option<&[u16]> {
        let get = |name: &[u8]| self.programs.get(name).map(Vec::as_slice);
        let until = |end: u8| program.iter().position(|byte| *byte == end);
        get(program).or_else(|| match until(b'/') {
            Some(end) => {
                let base = program.get(..end)?;
                get(base).or_else(|| get(base.split(|byte| *byte == b'-').next()?))
            }
            None => get(program.get(..=until(b'-')?)?),
        })
    }

    fn decide(&mut self, watch: u16, line: &Line<'_>, decision: &Decision) -> Verdict {
        let Decision { counts, found, cut, two } = *decision;
        if two {
            return Verdict::TwoHosts;
        }
        if cut {
            return Verdict::Cut;
        }
        let process = line.process.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let common = if self.by_address.contains(&watch) {
            Some(Common::Address)
        } else {
            process.map(Common::Process).or(found.port.map(Common::Port))
        };
        let Some(tries) = self.sessions.take(Told { watch, common, counts, found, times: line.times }) else {
            return Verdict::Held;
        };
        let address = tries.address;
        match u32::try_from(tries.tries) {
            Ok(0) if matches!(counts, Counts::Try(_) | Counts::Session) => Verdict::Joined(address),
            Ok(0) => Verdict::NoTry(address),
            Ok(tries) => Verdict::Counts { address, port: found.port, tries },
            Err(_) => Verdict::TakenBack(address),
        }
    }
}

/// What a watch's sentences make of a line.
struct Decision {
    counts: Counts,
    found: Found,
    cut: bool,
    two: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::known;
    use super::*;

    const HEAD: &str = "Nov 21 10:00:00 host ";

    fn judge_of(names: &[&str]) -> Judge {
        let mut judge = Judge::new(true);
        for (number, name) in (0..).zip(names) {
            judge.add_service(number, &known::service(name).unwrap());
        }
        judge
    }

    fn verdicts(judge: &mut Judge, text: &str) -> Vec<(u16, Verdict)> {
        let mut all = Vec::new();
        judge.judge(&Line::parse(text.as_bytes()), &mut |watch, verdict| all.push((watch, verdict)));
        all
    }

    /// The tries that the lines add up to, by address.
    fn sum(judge: &mut Judge, lines: &[&str]) -> Vec<(String, u32)> {
        let mut sums: Vec<(String, u32)> = Vec::new();
        for text in lines {
            for (_, verdict) in verdicts(judge, text) {
                let Verdict::Counts { address, tries, .. } = verdict else { continue };
                let address = address.to_string();
                match sums.iter_mut().find(|(known, _)| *known == address) {
                    Some((_, sum)) => *sum += tries,
                    None => sums.push((address, tries)),
                }
            }
        }
        sums
    }

    /// The whole table, from its source: names, words, patterns and examples.
    struct Example {
        service: &'static str,
        programs: &'static str,
        word: &'static str,
        pattern: &'static str,
        text: &'static str,
    }

    fn examples() -> Vec<Example> {
        let (mut service, mut programs, mut source, mut row, mut count) = ("", "", "", ("", ""), 1);
        let mut all = Vec::new();
        for line in include_str!("patterns.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, text) = line.split_once(' ').expect("a word and its text");
            match word {
                "service" | "preset" => service = text.split(' ').next().unwrap(),
                "joined" => assert!(["address", "process"].contains(&text), "{line}"),
                "program" => programs = text,
                "source" => source = text,
                "eg" => {
                    let (word, pattern) = row;
                    all.push(Example { service, programs, word, pattern, text });
                    count += 1;
                }
                _ => {
                    assert!(source.starts_with("https://"), "without a source: {line}");
                    assert!(count > 0, "the sentence before it has no example: {line}");
                    (row, count) = ((word, text), 0);
                }
            }
        }
        assert!(count > 0, "without an example");
        all
    }

    const REFUSED: [&str; 2] = ["203.0.113.66", "2001:db8::66"];

    #[test]
    fn every_example_of_the_table() {
        let all = examples();
        assert!(all.len() > 200);
        for Example { service, programs, word, pattern, text } in &all {
            let mut found = None;
            known::Sentence { programs, counts: Counts::Session, pattern }.each(&mut |pattern| {
                let compiled = Pattern::sentence(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
                found = found.or(compiled.find(text.as_bytes()));
            });
            let found = found.unwrap_or_else(|| panic!("{pattern} is not {text}"));
            let address = found.address.map(|address| address.to_string());
            assert_eq!(address.is_some(), pattern.contains("<HOST>"), "{pattern}");
            let nowhere = address.is_none();
            assert!(address.is_none_or(|address| REFUSED.contains(&&*address)), "{text}");
            for program in programs.split(' ') {
                let program = program.strip_suffix('-').map_or(program.to_owned(), |begin| format!("{begin}-x"));
                let mut judge = judge_of(&[service]);
                let found = verdicts(&mut judge, &format!("{HEAD}{program}[7]: {text}"));
                let [(0, verdict)] = found[..] else { panic!("{program}: {text}: {found:?}") };
                let fits = match *word {
                    _ if nowhere => verdict == Verdict::Held,
                    "try" | "pam" | "event" | "session" => {
                        matches!(verdict, Verdict::Counts { address, .. } if REFUSED.contains(&&*address.to_string()))
                    }
                    _ => matches!(verdict, Verdict::NoTry(_)),
                };
                assert!(fits, "{program}: {word} {text}: {verdict:?}");
            }
        }
    }

    #[test]
    fn no_service_reads_anothers_lines() {
        for (other, _) in known::names() {
            let mut judge = judge_of(&[other]);
            for Example { service, programs, text, .. } in examples() {
                let programs = if other == service { "dnsmasq" } else { programs };
                for program in programs.split(' ').filter(|program| !program.ends_with('-')) {
                    let found = verdicts(&mut judge, &format!("{HEAD}{program}[7]: {text}"));
                    assert!(found.is_empty(), "{other}: {text}: {found:?}");
                }
            }
        }
    }

    /// Lines that are no failures, and lines that somebody with bad intent can bring about. 203.0.113.66 is
    /// always the one who was really there, 192.0.2.1 the one who is to be banned in his place.
    const LINES: &[(&str, &str)] = &[
        // dropbear
        (
            "Sat Nov 21 10:00:00 2026 authpriv.info dropbear[1]: Exit before auth from <203.0.113.66:5>: Exited normally",
            "",
        ),
        ("Sat Nov 21 10:00:00 2026 authpriv.info dropbear[1]: Child connection from 203.0.113.66:50112", ""),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.notice dropbear[1]: Password auth succeeded for 'root' from 203.0.113.66:5",
            "",
        ),
        ("Sat Nov 21 10:00:00 2026 daemon.info dnsmasq[7]: Bad password attempt for 'root' from 192.0.2.1:50112", ""),
        ("[2101] Nov 21 10:00:00 Bad password attempt for 'root' from 203.0.113.66:50112", "203.0.113.66"),
        ("[2101] Nov 21 10:00:00 Login attempt for nonexistent user", ""),
        // OpenSSH
        ("Failed password for root from 203.0.113.66 port 22000 ssh2", "203.0.113.66"),
        ("2026-11-21T10:00:00.1+01:00 host sshd[71]: Invalid user admin from 203.0.113.66 port 22000", "203.0.113.66"),
        ("Nov 21 10:00:00 host sshd[71]: Invalid user  from 203.0.113.66 port 22000", "203.0.113.66"),
        (
            "Nov 21 10:00:00 host sshd[71]: Invalid user sshd[1]: Invalid user x from 192.0.2.1 port 22 from 203.0.113.66 port 2",
            "203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: Invalid user Nov 21 10:00:00 h dropbear[1]: Bad password attempt for 'a' from 192.0.2.1:22",
            "",
        ),
        ("Nov 21 10:00:00 anyprog[7]: sshd[1]: Invalid user x from 192.0.2.1 port 22", ""),
        ("Nov 21 10:00:00 host sshd[71]: Accepted password for root from 203.0.113.66 port 22000 ssh2", ""),
        (
            "Nov 21 10:00:00 host sshd[71]: Failed password for x from 203.0.113.66 port 58946 ssh2: from 192.0.2.1 port 55555 ssh2",
            "two",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: Received disconnect from 203.0.113.66 port 22:11: Failed password for root from 192.0.2.1 port 2 ssh2",
            "",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.66  user=x rhost=192.0.2.1",
            "two",
        ),
        ("Nov 21 10:00:00 host sshd[71]: Failed publickey for root from 203.0.113.66 port 2 ssh2: RSA SHA256:a", ""),
        ("Nov 21 10:00:00 host sshd[71]: Connection closed by 203.0.113.66 port 2 [preauth]", ""),
        ("Nov 21 10:00:00 host sshd[71]: Invalid user x from fe80::1%br-lan port 22", ""),
        ("Nov 21 10:00:00 host sshd[71]: error: PAM: Authentication failure for root from host.example", ""),
        // LuCI
        ("Fri Apr 10 21:00:14 2020 user.info : luci: failed login on / for root from 203.0.113.66", "203.0.113.66"),
        ("Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: luci: accepted login on / for root from 203.0.113.66", ""),
        ("Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: luci: failed login on / for root from ?", ""),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.warn dispatcher.uc: luci: failed login on / for root from 203.0.113.66",
            "203.0.113.66",
        ),
        // Postfix
        (
            "Nov 21 10:00:00 mail postfix/smtpd[9]: warning: hostname a.example does not resolve to address 203.0.113.66",
            "",
        ),
        (
            "Nov 21 10:00:00 mail postfix-out/submission/smtpd[9]: warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: x",
            "203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 mail postfix/smtpd[9]: warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: Connection lost to authentication server",
            "",
        ),
        ("Nov 21 10:00:00 mail postfix/smtpd[9]: lost connection after DATA from unknown[203.0.113.66]", ""),
        (
            "Nov 21 10:00:00 mail postfix/smtpd[9]: disconnect from unknown[203.0.113.66] ehlo=1 auth=1 quit=1 commands=3",
            "",
        ),
        // Asterisk
        (
            "[Nov 21 10:00:00] NOTICE[1]: chan_sip.c:1 handle: Registration from 'x' failed for '192.0.2.1:5060' - Wrong password <sip:1@a>' failed for '203.0.113.66:5060' - Wrong password",
            "203.0.113.66",
        ),
        (
            "[Nov 21 10:00:00] NOTICE[343]: res_pjsip/pjsip_distributor.c:1 log_failed_request: Request 'REGISTER' from 'a' failed for '203.0.113.66:5' (callid: z' failed for '192.0.2.1:5' (callid: y) - Failed to authenticate",
            "",
        ),
        (
            "[Nov 21 10:00:00] NOTICE[343]: res_pjsip/pjsip_distributor.c:1 log_failed_request: Request 'REGISTER' from 'a' failed for '203.0.113.66:5060' (callid: z) - Wrong transport",
            "",
        ),
        // vsftpd
        (
            "Fri Nov  4 14:40:05 2022 [pid 1094] [x] FAIL LOGIN: Client \"192.0.2.1\"] FAIL LOGIN: Client \"203.0.113.66\"",
            "",
        ),
        (
            "Fri Nov  4 14:40:05 2022 [pid 1094] [bob] FTP command: Client \"203.0.113.66\", \"USER [x] FAIL LOGIN: Client \"192.0.2.1\"",
            "",
        ),
        ("Fri Nov  4 14:40:05 2022 [pid 1094] CONNECT: Client \"203.0.113.66\"", ""),
        ("Fri Nov  4 14:40:05 2022 [pid 1094] [bob] OK LOGIN: Client \"203.0.113.66\"", ""),
        // dovecot
        (
            "Nov 21 10:00:00 host dovecot: imap-login: Disconnected (no auth attempts in 4 secs): user=<>, rip=203.0.113.66, lip=198.51.100.1",
            "",
        ),
        ("Nov 21 10:00:00 host dovecot: imap(x)<1><2>: a (auth failed, 1 attempts): user=<>, rip=192.0.2.1, lip=1", ""),
        (
            "2026/11/21 10:00:00 [error] 7#7: *3 user \"x\": password mismatch, client: 192.0.2.1, server: y\": password mismatch, client: 203.0.113.66, server: a, request: \"GET / HTTP/1.1\"",
            "",
        ),
    ];

    #[test]
    fn what_is_no_failure_and_what_is_hostile() {
        let names: Vec<&str> = known::names().map(|(name, _)| name).collect();
        for (text, want) in LINES {
            let mut found: Vec<String> = verdicts(&mut judge_of(&names), text)
                .into_iter()
                .filter_map(|(_, verdict)| match verdict {
                    Verdict::Counts { address, .. } => Some(address.to_string()),
                    Verdict::TwoHosts => Some("two".into()),
                    _ => None,
                })
                .collect();
            found.dedup();
            assert_eq!(found.join(" "), *want, "{text}");
        }
    }

    #[test]
    fn a_line_that_may_be_cut_does_not_count() {
        let mut judge = judge_of(&["luci", "smtp"]);
        let head = "Sat Nov 21 10:00:00 2026 daemon.err uhttpd[2430]: [info] luci: failed login on / for ";
        let end = " from 192.0.2.1";
        for length in [1023, 1023 - 20] {
            let name = "x".repeat(length - "uhttpd[2430]: [info] luci: failed login on / for ".len() - end.len());
            assert_eq!(verdicts(&mut judge, &format!("{head}{name}{end}")), [(0, Verdict::Cut)], "{length}");
        }
        // Where the address stands in front, what is cut off does not matter.
        let long = format!(
            "{HEAD}postfix/smtpd[1]: warning: a[203.0.113.66]: SASL PLAIN authentication failed: {}",
            "x".repeat(930)
        );
        let (_, verdict) = verdicts(&mut judge, &long)[0];
        assert!(Line::parse(long.as_bytes()).cut);
        assert!(matches!(verdict, Verdict::Counts { .. }), "{verdict:?}");
    }

    #[test]
    fn a_session_of_sshd() {
        let mut judge = judge_of(&["ssh"]);
        let lines = |process: u32, texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| format!("{HEAD}sshd-session[{process}]: {text}")).collect()
        };
        let mut all = lines(
            1,
            &[
                "Invalid user x from 203.0.113.66 port 7",
                "pam_unix(sshd:auth): check pass; user unknown",
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.66 ",
                "Failed password for invalid user x from 203.0.113.66 port 7 ssh2",
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.66 ",
                "Failed password for invalid user x from 203.0.113.66 port 7 ssh2",
                "Connection closed by invalid user x 203.0.113.66 port 7 [preauth]",
            ],
        );
        all.extend(lines(
            2,
            &[
                "message repeated 2 times: [ Failed password for root from 203.0.113.66 port 8 ssh2]",
                "Connection closed by authenticating user root 203.0.113.66 port 8 [preauth]",
            ],
        ));
        all.extend(lines(3, &["Disconnected from authenticating user root 203.0.113.66 port 9 [preauth]"]));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(sum(&mut judge, &all), [("203.0.113.66".to_owned(), 5)]);
    }

    #[test]
    fn sessions_of_other_servers() {
        let dropbear = [
            "Login attempt for nonexistent user",
            "Exit before auth from <203.0.113.66:5>: Max auth tries reached - user 'is invalid'",
        ];
        let postfix = [
            "warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: Invalid authentication mechanism",
            "lost connection after AUTH from unknown[203.0.113.66]",
            "disconnect from unknown[203.0.113.66] ehlo=1 auth=0/1 commands=1/2",
            "warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: authentication failure",
            "warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: authentication failure",
            "disconnect from unknown[203.0.113.66] ehlo=1 auth=0/2 commands=1/3",
        ];
        let dovecot = [
            "auth-worker(7): pam(x,203.0.113.66): pam_authenticate() failed: Authentication failure",
            "auth-worker(7): pam(x,203.0.113.66): pam_authenticate() failed: Authentication failure",
            "imap-login: Disconnected (auth failed, 2 attempts in 9 secs): user=<x>, rip=203.0.113.66, lip=198.51.100.1",
            "imap-login: Login: user=<x>, method=PLAIN, rip=203.0.113.66, lip=198.51.100.1, mpid=7, TLS",
        ];
        let charon = [
            "07[IKE] <a|1> EAP method EAP_MSCHAPV2 failed for peer x",
            "08[NET] <a|2> sending packet: from 198.51.100.1[4500] to 192.0.2.1[4500] (65 bytes)",
            "07[NET] <a|1> sending packet: from 198.51.100.1[4500] to 203.0.113.66[4500] (65 bytes)",
        ];
        let old_dropbear =
            ["Child connection from 203.0.113.66:5", "Exit before auth (user 'root', 2 fails): Exited normally"];
        // Its threads serve one after the other.
        let charons_thread = [
            "07[NET] received packet: from 192.0.2.1[4500] to 198.51.100.1[4500] (432 bytes)",
            "07[NET] sending packet: from 198.51.100.1[4500] to 192.0.2.1[4500] (65 bytes)",
            "07[NET] received packet: from 203.0.113.66[4500] to 198.51.100.1[4500] (432 bytes)",
            "07[IKE] EAP-MS-CHAPv2 verification failed, retry (1)",
            "07[NET] sending packet: from 198.51.100.1[4500] to 203.0.113.66[4500] (65 bytes)",
            "07[NET] received packet: from 192.0.2.1[4500] to 198.51.100.1[4500] (432 bytes)",
            "07[IKE] IKE_SA home[1] established between 198.51.100.1[a]...192.0.2.1[b]",
        ];
        let stories: [(&str, &str, &[&str], u32); 6] = [
            ("ssh", "dropbear", &dropbear, 1),
            ("ssh", "dropbear", &old_dropbear, 2),
            ("strongswan", "charon", &charons_thread, 1),
            ("smtp", "postfix/smtpd", &postfix, 2),
            ("imap", "dovecot", &dovecot, 2),
            ("strongswan", "charon", &charon, 1),
        ];
        for (service, program, lines, want) in stories {
            let lines: Vec<String> = lines.iter().map(|text| format!("{HEAD}{program}[7]: {text}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(sum(&mut judge_of(&[service]), &lines), [("203.0.113.66".to_owned(), want)], "{service}");
        }
    }

    #[test]
    fn coloured_lines() {
        let gitea = "\x1b[36m2026/11/21 10:00:00 \x1b[0m\x1b[32m...auth.go:200:\x1b[32mSignInPost()\x1b[0m \x1b[1;32m[I]\x1b[0m \
            Failed authentication attempt for \x1b[1mx\x1b[0m from \x1b[1m203.0.113.66:0\x1b[0m";
        let home = "Nov 21 10:00:00 host hass[7]: #033[33m2026-11-21 10:00:00.123 WARNING (MainThread) [homeassistant.components.http.ban] \
            Login attempt or request with invalid authentication from 203.0.113.66 (203.0.113.66). Requested URL: '/auth'. (x)#033[0m";
        for (service, text) in [("gitea", gitea), ("home-assistant", home)] {
            let mut all = Vec::new();
            Line::read(text.as_bytes(), &mut |line| {
                judge_of(&[service]).judge(line, &mut |_, verdict| all.push(verdict));
            });
            assert!(matches!(all[..], [Verdict::Counts { tries: 1, .. }]), "{service}: {all:?}");
        }
    }

    #[test]
    fn the_systems_log_has_heads() {
        let mut judge = Judge::new(false);
        judge.add_service(0, &known::service("ssh").unwrap());
        assert_eq!(verdicts(&mut judge, "Failed password for root from 192.0.2.1 port 22000 ssh2"), []);
    }

    #[test]
    fn own_patterns() {
        let mut judge = Judge::new(false);
        let pattern = |text| vec![Pattern::new(text).unwrap()];
        judge.add_own(0, &["panel".to_owned()], &pattern("bad login from <HOST>"));
        judge.add_own(1, &[], &pattern("<HOST> is bad"));
        let found = |judge: &mut Judge, text: &str| {
            verdicts(judge, text).into_iter().map(|(watch, _)| watch).collect::<Vec<u16>>()
        };
        assert_eq!(found(&mut judge, "Nov 21 10:00:00 h panel[1]: bad login from 192.0.2.1"), [0]);
        assert_eq!(found(&mut judge, "Nov 21 10:00:00 h panel/web[1]: bad login from 192.0.2.1"), [0]);
        assert!(found(&mut judge, "Nov 21 10:00:00 h other[1]: bad login from 192.0.2.1").is_empty());
        assert_eq!(found(&mut judge, "Nov 21 10:00:00 h other[1]: 192.0.2.1 is bad"), [1]);
    }

    #[test]
    fn names_are_seen_and_not_counted() {
        let judge = judge_of(&["ssh"]);
        let of = |text: &str| judge.named(&Line::parse(format!("{HEAD}sshd[1]: {text}").as_bytes()));
        assert_eq!(of("Failed password for root from host.example port 1 ssh2"), Some(0));
        assert_eq!(of("Failed password for root from 192.0.2.1 port 1 ssh2"), None);
        assert_eq!(of("Accepted password for root from host.example port 1 ssh2"), None);
    }
}
