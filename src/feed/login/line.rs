//! A log line's head: which program wrote it, and what it said.
//!
//! The head is read from the front, field by field, and never searched for: whatever looks like a head
//! further on may have been written by an attacker. Pure; the daemon's `logins` calls it for every line.

/// Longest line that is looked at, in bytes. A longer one is passed over as a whole: the piece of it that
/// ends at a cut could be made to look like another line.
pub const MAX: usize = 4096;

/// What a line says and who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The program's name without its process id; `None` where the line has no head, as in a program's own
    /// log file.
    pub program: Option<&'a [u8]>,
    /// The digits of its process id, where the head has one.
    pub process: Option<&'a [u8]>,
    /// The rest.
    pub message: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line of `logread`, of syslog (old and new date), of a journal's short form, of dropbear's,
    /// vsftpd's or Asterisk's own log; anything else is a message without a program.
    pub fn parse(line: &'a [u8]) -> Line<'a> {
        let line = line.trim_ascii();
        let bare = Line { program: None, process: None, message: line };
        if line.starts_with(b"[") {
            return bracketed(line).unwrap_or(bare);
        }
        let mut rest = line;
        let first = field(&mut rest);
        let found = if is_weekday(first) {
            logread(rest)
        } else if is_month(first) {
            date(&mut rest).and_then(|()| after_host(rest))
        } else if is_iso_time(first) {
            after_host(rest)
        } else {
            None
        };
        found.unwrap_or(bare)
    }

    /// Is it of this program? `postfix` is also `postfix/smtpd`.
    pub fn is_of(&self, program: &str) -> bool {
        let rest = self.program.and_then(|name| name.strip_prefix(program.as_bytes()));
        matches!(rest, Some([] | [b'/', ..]))
    }
}

/// `Nov 21 10:00:00 2026 authpriv.warn dropbear[1]: …` after the weekday, or vsftpd's own
/// `… 2026 [pid 1] …`.
fn logread(mut rest: &[u8]) -> Option<Line<'_>> {
    if !is_month(field(&mut rest)) {
        return None;
    }
    date(&mut rest)?;
    if !is_number(field(&mut rest)) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    if rest.starts_with(b"[pid ") {
        return Some(Line { program: Some(b"vsftpd"), process: None, message: rest });
    }
    // The facility.
    after_host(rest)
}

/// What follows `HOST ` or `FACILITY.LEVEL `.
fn after_host(mut rest: &[u8]) -> Option<Line<'_>> {
    field(&mut rest);
    tagged(rest.trim_ascii_start())
}

/// `dropbear[1]: …`. LuCI writes its lines under an empty name: `: luci: …`.
fn tagged(rest: &[u8]) -> Option<Line<'_>> {
    let rest = rest.strip_prefix(b": ").unwrap_or(rest);
    let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let (tag, message) = rest.split_at_checked(end)?;
    let tag = tag.strip_suffix(b":")?;
    let mut parts = tag.splitn(2, |byte| *byte == b'[');
    let name = parts.next()?;
    let process = parts.next().and_then(|rest| rest.strip_suffix(b"]")).filter(|id| is_number(id));
    Some(Line { program: Some(name), process, message: message.trim_ascii_start() })
}

/// `[1234] Nov 21 10:00:00 …` is dropbear's standard error, `[Nov 21 10:00:00] …` Asterisk's own log.
fn bracketed(line: &[u8]) -> Option<Line<'_>> {
    let end = line.iter().position(|byte| *byte == b']')?;
    let inner = line.get(1..end)?;
    let mut rest = line.get(end + 1..)?;
    let mut stamp = inner;
    let first = field(&mut stamp);
    if is_month(first) || is_iso_time(first) {
        return Some(Line { program: Some(b"asterisk"), process: None, message: rest.trim_ascii_start() });
    }
    if is_number(inner) && is_month(field(&mut rest)) {
        date(&mut rest)?;
        return Some(Line { program: Some(b"dropbear"), process: Some(inner), message: rest.trim_ascii_start() });
    }
    None
}

/// `21 10:00:00`, the month read already.
fn date(rest: &mut &[u8]) -> Option<()> {
    let day = is_number(field(rest));
    let time = field(rest);
    (day && time.contains(&b':') && time.iter().all(|byte| byte.is_ascii_digit() || b":.".contains(byte))).then_some(())
}

/// The next word.
fn field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = rest.trim_ascii_start();
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    word
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

fn is_weekday(word: &[u8]) -> bool {
    [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"].iter().any(|name| word == *name)
}

fn is_month(word: &[u8]) -> bool {
    const NAMES: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    NAMES.contains(&word)
}

/// `2026-11-21T10:00:00.5+01:00`, or the date alone as Asterisk writes it.
fn is_iso_time(word: &[u8]) -> bool {
    matches!(word, [a, b, c, d, b'-', _, _, b'-', ..] if is_number(&[*a, *b, *c, *d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_every_kind() {
        let table: [(&str, Option<&str>, &str); 15] = [
            ("Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[1]: a b", Some("dropbear"), "a b"),
            ("Sat Nov  1 10:00:00 2026 kern.info kernel: [ 1.0] x", Some("kernel"), "[ 1.0] x"),
            ("Sat Nov  1 10:00:00 2026 user.info : luci: failed", Some("luci"), "failed"),
            ("Nov  1 10:00:00 host sshd[12]: a: b", Some("sshd"), "a: b"),
            ("2026-11-21T10:00:00.1+01:00 host postfix/smtpd[1]: w", Some("postfix/smtpd"), "w"),
            ("[1234] Nov 21 10:00:00 Bad", Some("dropbear"), "Bad"),
            ("[Nov 21 10:00:00] NOTICE[1]: x", Some("asterisk"), "NOTICE[1]: x"),
            ("[2026-11-21 10:00:00] NOTICE[1]: x", Some("asterisk"), "NOTICE[1]: x"),
            ("Sat Nov 21 10:00:00 2026 [pid 5] [u] FAIL", Some("vsftpd"), "[pid 5] [u] FAIL"),
            ("Failed password for sshd[1]: x", None, "Failed password for sshd[1]: x"),
            ("Nov 21 host sshd[1]: x", None, "Nov 21 host sshd[1]: x"),
            ("Sat Nov", None, "Sat Nov"),
            ("Nov 21 10:00:00 host say sshd[1]: x", None, "Nov 21 10:00:00 host say sshd[1]: x"),
            ("[", None, "["),
            ("", None, ""),
        ];
        for (line, program, message) in table {
            let found = Line::parse(line.as_bytes());
            assert_eq!((found.program, found.message), (program.map(str::as_bytes), message.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_program_has_parts() {
        let line = |program: &'static str| Line { program: Some(program.as_bytes()), process: None, message: b"" };
        assert!(line("postfix/submission/smtpd").is_of("postfix"));
        assert!(line("sshd").is_of("sshd"));
        assert!(!line("sshd-session").is_of("sshd"));
        assert!(!Line { program: None, process: None, message: b"" }.is_of("sshd"));
    }
}
