//! Bytes as a pattern, as what an attacker writes into a message, and as lines of a log: nothing may panic,
//! an address is only answered where it stands, and no attacker's text has another address answered.
//!
//! The first line is a pattern of the owner's, the second the attacker's text, the rest are the log. Run by the
//! fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use std::net::IpAddr;
use std::sync::LazyLock;

use diswall::feed::login::judge::Verdict;
use diswall::feed::login::{Judge, Line, Pattern, known};

/// The attacker's own address, in every form in which programs write it.
const ATTACKERS: [&str; 4] = ["203.0.113.66", "2001:db8::66", "[2001:db8::66]", "::ffff:203.0.113.66"];

static KNOWN: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let services = known::names().filter_map(|(name, _)| known::service(name));
    let sentences = services.flat_map(|service| service.sentences);
    let mut patterns = Vec::new();
    sentences.for_each(|sentence| {
        sentence.each(&mut |pattern| patterns.push(Pattern::sentence(pattern).expect("known patterns compile")));
    });
    patterns
});

/// Looks for everything that is known.
fn judge() -> Judge {
    let mut judge = Judge::new(true);
    for (number, (name, _)) in (0..).zip(known::names()) {
        if let Some(service) = known::service(name) {
            judge.add_service(number, &service);
        }
    }
    judge
}

/// Panics where the reader of log lines breaks a promise.
pub fn check(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (pattern, chosen, log) = (next(), next(), next());
    let own = std::str::from_utf8(pattern).ok().and_then(|text| Pattern::new(text).ok());
    for pattern in KNOWN.iter().chain(&own) {
        for attacker in ATTACKERS {
            nobody_else_is_answered(pattern, attacker, chosen);
        }
    }
    let mut judge = judge();
    for (tried, text) in (1..).zip(log.split(|byte| *byte == b'\n')) {
        let line = Line::parse(text);
        assert!(stands_in(line.message, text), "the message is no part of the line");
        // Logs of a program's own do not name it.
        let named = line.program.filter(|name| ![&b"dropbear"[..], b"vsftpd", b"asterisk"].contains(name));
        for part in named.iter().chain(&line.process) {
            assert!(stands_in(part, text), "the head is no part of the line");
        }
        for pattern in KNOWN.iter().chain(&own) {
            if let Some(address) = pattern.address(line.message) {
                assert!(is_written(address, line.message), "{}: {address}", pattern.text());
            }
        }
        assert!((1..=100).contains(&line.times), "{}", line.times);
        judge.judge(&line, &mut |_, verdict| {
            if let Verdict::Counts { address, tries, .. } = verdict {
                assert!(is_written(address, line.message), "{address}");
                // Of what a line says itself at most 100 are believed, and what was held before comes with it.
                assert!((1..=100 * tried).contains(&tries), "{tries} of {tried}");
            }
        });
    }
}

/// Writes a message as the pattern says, the attacker's text at every `*`: it is the attacker who is answered
/// or, where the owner's pattern leaves the end of something open, nobody. Known patterns always find him, but
/// for those that want no other place for him and the attacker wrote one.
fn nobody_else_is_answered(pattern: &Pattern, attacker: &str, chosen: &[u8]) {
    if !pattern.text().contains("<HOST>") {
        return;
    }
    let text = pattern.text().replace("<WORD>", "w").replace("<NAME>", "n").replace("<HOST>", attacker);
    let text = ["<NUM>", "<PORT>", "<TIMES>"].iter().fold(text, |text, name| text.replace(name, "7"));
    let text = text.replace("<REST>", " of its own");
    let message = text.as_bytes().split(|byte| *byte == b'*').collect::<Vec<_>>().join(chosen);
    let attacker = attacker.trim_matches(['[', ']']).parse::<IpAddr>().expect("an address").to_canonical();
    let found = pattern.address(&message);
    let known = KNOWN.iter().any(|known| std::ptr::eq(known, pattern)) && !pattern.is_inner();
    assert!(
        found == Some(attacker) || (found.is_none() && !known),
        "{}: {found:?} in {:?}",
        pattern.text(),
        String::from_utf8_lossy(&message)
    );
}

fn stands_in(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}

/// Does the address stand there, in any of its forms?
fn is_written(address: IpAddr, message: &[u8]) -> bool {
    let in_address = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':' || *byte == b'.';
    let runs = message.split(|byte| !in_address(byte)).filter(|run| run.len() > 1);
    runs.filter_map(|run| std::str::from_utf8(run).ok()).any(|run| {
        let pieces = (0..run.len()).flat_map(|from| (from + 1..=run.len().min(from + 64)).map(move |to| (from, to)));
        pieces
            .filter_map(|(from, to)| run.get(from..to)?.parse::<IpAddr>().ok())
            .any(|found| found.to_canonical() == address)
    })
}
