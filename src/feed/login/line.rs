//! A log line's head: which program wrote it, and what it said.
//!
//! The head is read from the front, field by field, and never searched for: whatever looks like a head
//! further on may have been written by an attacker. Many programs write heads (syslog daemons, journals, the
//! programs themselves into logs of their own); where the fields could be read in two ways there is no head,
//! and the line is nobody's. Pure; the daemon's `logins` and `logs test` call it for every line.

/// Longest line that is looked at, in bytes. A longer one is passed over as a whole: the piece of it that
/// ends at a cut could be made to look like another line.
pub const MAX: usize = 4096;

/// Where programs on a line's way cut it: syslog's daemons, OpenWrt's `logd`, what programs write at most.
const CUTS: [usize; 5] = [1024, 2048, 4096, 8192, 65536];

/// What those count with it and the log does not show, at most: priority, date, host.
const UNSEEN: usize = 110;

/// Most times that a syslog daemon is believed to have left a line out.
const REPEATED: u32 = 100;

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
    /// So often it was said: `message repeated N times`. At least 1.
    pub times: u32,
    /// Its length is one at which lines are cut: something may be missing at its end.
    pub cut: bool,
}

impl<'a> Line<'a> {
    /// Reads a line that may have colours in it.
    pub fn read(text: &[u8], each: &mut dyn FnMut(&Line<'_>)) {
        match plain(text) {
            None => each(&Line::parse(text)),
            Some(plain) => {
                let cut = Line::parse(text).cut;
                let line = Line::parse(&plain);
                each(&Line { cut: cut || line.cut, ..line });
            }
        }
    }

    /// Reads a line; what no known head begins is a message without a program.
    pub fn parse(line: &'a [u8]) -> Line<'a> {
        // Blanks at the end count: there a cut may hide.
        let lengths = line.trim_ascii_start();
        let line = line.trim_ascii();
        let mut stamp = Stamp::default();
        let rest = stamp.strip(line);
        let head = stamp.own_log(rest).or_else(|| stamp.head(rest));
        let after_head = head.map_or(rest, |head| head.rest);
        let begin = lengths.len() - line.len();
        let parts = [line, rest, after_head, after_head.trim_ascii_start()];
        let cut = parts.iter().any(|part| is_cut(part.len() + begin));
        let (mut program, mut process, mut message) = match head {
            Some(head) => (Some(head.program), head.process, head.rest.trim_ascii_start()),
            None if stamp.dated => {
                (None, None, facility(rest).and_then(|rest| rest.strip_prefix(b": ")).unwrap_or(rest))
            }
            None => (None, None, line),
        };
        let mut times = 1;
        if let Some((count, inner)) = repeated(message) {
            (times, message) = (count, inner);
        }
        message = strip_inside(message, program, process);
        match program {
            Some(b"asterisk") => message = asterisk(message),
            // Its parts write under its name.
            Some(b"dovecot") => {
                while let Some(part) = tag(message).filter(|part| part.is_closed && !part.program.starts_with(b"pam_"))
                {
                    program = Some(part.program);
                    message = part.rest.trim_ascii_start();
                    if part.program != b"dovecot" {
                        break;
                    }
                }
            }
            _ => {}
        }
        if let Some((thread, rest)) = charon(message) {
            (process, message) = (Some(thread), rest);
        }
        message = message.strip_prefix(b"Info: ").unwrap_or(message);
        Line { program, process, message, times, cut }
    }
}

/// A head and what follows it.
#[derive(Clone, Copy)]
struct Head<'a> {
    program: &'a [u8],
    process: Option<&'a [u8]>,
    rest: &'a [u8],
    /// It ended in a colon.
    is_closed: bool,
}

/// What stood before host and program.
#[derive(Default)]
struct Stamp {
    dated: bool,
    /// By `<38>`: so it came over a syslog socket.
    priority: bool,
    /// The date was of RFC 5424's form.
    iso: bool,
    /// … of RFC 3164's.
    month: bool,
    /// … in brackets.
    bracketed: bool,
}

impl Stamp {
    /// Takes priorities and dates away: a relay's own, and the host that it had the line from, stand before those that it was
    /// sent.
    fn strip<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        let mut rest = line;
        for _ in 0..4 {
            let before = rest.len();
            if let Some(after) = priority(rest) {
                self.priority = true;
                rest = after;
            }
            if let Some(after) = rest.strip_prefix(b"1 ").filter(|after| date(after).is_some()) {
                rest = after;
            }
            if let Some(found) = date(rest) {
                self.dated = true;
                (self.iso, self.month) = (found.iso, found.month);
                rest = found.rest;
            } else if let Some(after) = bracketed_date(rest) {
                (self.dated, self.bracketed) = (true, !self.dated);
                rest = after;
            } else if let Some(after) = self.dated.then_some(rest).and_then(after_host)
                // The names of programs begin otherwise, and this is asked of every line.
                && after.first().is_some_and(|first| first.is_ascii_digit() || first.is_ascii_uppercase())
                && date(after).is_some()
            {
                rest = after;
            }
            if rest.len() == before {
                break;
            }
        }
        rest
    }

    /// The logs that programs write themselves, where those can be told by their heads.
    fn own_log<'a>(&self, rest: &'a [u8]) -> Option<Head<'a>> {
        let own = |program, process, rest| Head { program, process, rest, is_closed: true };
        if self.bracketed {
            let level = rest.split(|byte| !byte.is_ascii_uppercase()).next().unwrap_or_default();
            let after = rest.get(level.len()..)?.trim_ascii_start();
            return (level.len() > 3 && after.starts_with(b"[")).then(|| own(b"asterisk", None, rest));
        }
        if let Some(after) = rest.strip_prefix(b"[pid ").filter(|_| self.dated) {
            let (process, _) = number(after)?;
            return Some(own(b"vsftpd", Some(process), rest));
        }
        if self.dated || self.priority {
            return None;
        }
        if rest.windows(3).take(64).any(|part| part == b".c:") && asterisk(rest).len() < rest.len() {
            return Some(own(b"asterisk", None, rest));
        }
        let after = rest.strip_prefix(b"[")?;
        let (process, after) = number(after)?;
        let found = date(after.strip_prefix(b"] ")?).filter(|found| found.month)?;
        Some(own(b"dropbear", Some(process), found.rest))
    }

    /// Host, facility and program, in the forms in which syslog's daemons and journals write them.
    fn head<'a>(&self, rest: &'a [u8]) -> Option<Head<'a>> {
        if !self.dated && !self.priority {
            // A program's own words may look like a host and a program; a process id they rarely have.
            let process = |head: &Head<'_>| head.process.is_some() && head.is_closed;
            return tag(rest).filter(process).or_else(|| tag(after_host(rest)?).filter(process));
        }
        if let Some(rest) = level_in_angles(rest) {
            return tag(rest).or_else(|| tag(after_host(rest)?));
        }
        if let Some(after) = facility(rest) {
            // socklog's has a colon; the date of the message may come behind it.
            return match after.strip_prefix(b":") {
                Some(after) => {
                    let after = after.trim_ascii_start();
                    tag(date(after).map_or(after, |found| found.rest))
                }
                None => tag(after.strip_prefix(b" ")?),
            };
        }
        if let Some(head) = tag(rest).or_else(|| bracketed_tag(rest).filter(|_| self.month)) {
            return Some(head);
        }
        let after = after_host(rest)?;
        if let Some(rest) = facility(after).and_then(|rest| rest.strip_prefix(b" ")) {
            return tag(rest);
        }
        tag(after).or_else(|| rfc5424(after).filter(|_| self.iso))
    }
}

/// `<38>`.
fn priority(text: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = number(text.strip_prefix(b"<")?)?;
    rest.strip_prefix(b">").filter(|_| digits.len() <= 3)
}

/// `<auth.info> ` or `<4.6> `, as BSD's `syslogd -v` writes it.
fn level_in_angles(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_prefix(b"<")?;
    let after = facility(inner).or_else(|| {
        let (_, rest) = number(inner)?;
        Some(number(rest.strip_prefix(b".")?)?.1)
    })?;
    after.strip_prefix(b"> ")
}

/// `auth.info`; what follows it.
fn facility(text: &[u8]) -> Option<&[u8]> {
    const FACILITIES: &str = " kern user mail daemon auth syslog lpr news uucp cron authpriv ftp security console ntp ";
    const LEVELS: &str = " emerg alert crit err error warn warning notice info debug panic ";
    let end = text.iter().take(24).position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.')?;
    let (word, rest) = text.split_at_checked(end)?;
    let mut parts = word.split(|byte| *byte == b'.');
    let (facility, level) = (parts.next()?, parts.next()?);
    let known = (facility.starts_with(b"local") && facility.len() == 6) || is_listed(facility, FACILITIES);
    (known && is_listed(level, LEVELS) && parts.next().is_none()).then_some(rest)
}

fn is_listed(word: &[u8], list: &str) -> bool {
    let found = list.as_bytes().windows(word.len() + 2);
    !word.is_empty()
        && found
            .into_iter()
            .any(|place| place.starts_with(b" ") && place.ends_with(b" ") && &place[1..=word.len()] == word)
}

/// What follows `HOST `.
fn after_host(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    let (host, rest) = text.split_at_checked(end)?;
    // syslog-ng may write `source@host` and `host/relay`.
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:%@/".contains(byte);
    (host.iter().all(in_name) && host.len() <= 255 && !host.ends_with(b":")).then(|| rest.trim_ascii_start())
}

/// `sshd[12]: …`, `sshd: …`, `openvpn(home)[12]: …`, `proftpd[12] …`. LuCI once wrote its lines under an empty
/// name: `: luci: …`.
fn tag(text: &[u8]) -> Option<Head<'_>> {
    let text = text.strip_prefix(b": ").unwrap_or(text);
    let end = text.iter().position(|byte| !is_name(*byte))?;
    let (program, mut rest) = text.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    if rest.starts_with(b"(") {
        let close =
            rest.iter().position(|byte| *byte == b')' || *byte == b' ').filter(|at| rest.get(*at) == Some(&b')'))?;
        let inside = rest.get(1..close)?;
        if inside.contains(&b',') {
            // dovecot names the one who tries in here.
            return Some(Head { program, process: None, rest, is_closed: true });
        }
        rest = rest.get(close + 1..)?;
    }
    let mut process = None;
    if let Some(inner) = rest.strip_prefix(b"[") {
        let (digits, after) = number(inner)?;
        process = Some(digits);
        rest = after.strip_prefix(b"]")?;
    }
    match rest {
        [b':', rest @ ..] if rest.is_empty() || rest.starts_with(b" ") => {
            Some(Head { program, process, rest, is_closed: true })
        }
        [b' ', rest @ ..] if process.is_some() => Some(Head { program, process, rest, is_closed: false }),
        _ => None,
    }
}

/// `[sshd]: …` or `[sshd] …`.
fn bracketed_tag(text: &[u8]) -> Option<Head<'_>> {
    let inner = text.strip_prefix(b"[")?;
    let end = inner.iter().position(|byte| !is_name(*byte))?;
    let (program, rest) = inner.split_at_checked(end).filter(|(name, _)| !name.iter().all(u8::is_ascii_digit))?;
    let rest = rest.strip_prefix(b"]")?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest).strip_prefix(b" ")?;
    Some(Head { program, process: None, rest, is_closed: true })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._/+@".contains(&byte)
}

/// `sshd 12 - - …` or `sshd 12 ID [a b="c"] …`, after date and host.
fn rfc5424(text: &[u8]) -> Option<Head<'_>> {
    let mut rest = text;
    let (program, process) = (field(&mut rest), field(&mut rest));
    field(&mut rest);
    let process = match process {
        b"-" => None,
        digits if digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() => Some(digits),
        _ => return None,
    };
    rest = rest.strip_prefix(b" ")?;
    rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => structured(rest)?,
    };
    let rest = rest.strip_prefix(b" ")?;
    let rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    program.iter().all(|byte| is_name(*byte)).then_some(Head { program, process, rest, is_closed: true })
}

/// What follows `[a b="c"][d]`.
fn structured(text: &[u8]) -> Option<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let mut bytes = text.iter().enumerate().peekable();
    text.strip_prefix(b"[")?;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted && bytes.peek().is_none_or(|(_, next)| **next != b'[') => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// A date that was read.
struct Date<'a> {
    rest: &'a [u8],
    iso: bool,
    month: bool,
}

/// Date and time in any of the forms of syslog, journals and programs; what follows begins with no blank.
fn date(text: &[u8]) -> Option<Date<'_>> {
    if let Some(stamp) = text.strip_prefix(b"@") {
        // daemontools' and runit's.
        let (hex, rest) = stamp.split_at_checked(24)?;
        let rest = rest.strip_prefix(b" ").filter(|_| hex.iter().all(u8::is_ascii_hexdigit))?;
        return Some(Date { rest: rest.trim_ascii_start(), iso: false, month: false });
    }
    let mut rest = text;
    let mut word = field(&mut rest);
    let weekday = is_listed(word, " Mon Tue Wed Thu Fri Sat Sun ");
    if weekday {
        word = field(&mut rest);
    }
    let month = is_listed(word, " Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ");
    if month {
        is_day(field(&mut rest)).then_some(())?;
        let mut time = field(&mut rest);
        if is_year(time) {
            time = field(&mut rest);
        }
        is_time(time).then_some(())?;
        let mut after = rest;
        if is_year(field(&mut after)) {
            rest = after;
        }
    } else if is_iso_date(word.get(..10)?) {
        let time = match word.get(10..)? {
            [] => field(&mut rest),
            [b'T' | b' ', time @ ..] => time,
            _ => return None,
        };
        is_time(time.strip_suffix(b":").unwrap_or(time)).then_some(())?;
        let mut after = rest;
        let zone = field(&mut after);
        let named = weekday && (zone == b"UTC" || zone.len() <= 5 && zone.ends_with(b"T"));
        if named || is_offset(zone) {
            rest = after;
        }
    } else {
        // `journalctl --output=short-unix`.
        let (seconds, fraction) = number(word)?;
        let (fraction, after) = number(fraction.strip_prefix(b".")?)?;
        (seconds.len() >= 9 && fraction.len() >= 3 && after.is_empty()).then_some(())?;
    }
    Some(Date { rest: rest.trim_ascii_start(), iso: !month, month })
}

/// `[Nov 21 10:00:00] `, `[ 1234.567890] `, `[1795255200.123] `.
fn bracketed_date(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_prefix(b"[")?;
    let end = inner.iter().take(48).position(|byte| *byte == b']')?;
    let (inner, after) = (inner.get(..end)?, inner.get(end + 1..)?);
    let seconds = inner.trim_ascii();
    let monotonic =
        seconds.contains(&b'.') && seconds.iter().all(|byte| byte.is_ascii_digit() || b". <>".contains(byte));
    (monotonic || date(inner).is_some_and(|found| found.rest.is_empty())).then(|| after.trim_ascii_start())
}

fn is_day(word: &[u8]) -> bool {
    (1..=2).contains(&word.len()) && word.iter().all(u8::is_ascii_digit)
}

fn is_year(word: &[u8]) -> bool {
    word.len() == 4 && word.iter().all(u8::is_ascii_digit)
}

/// `2026-11-21` or `2026/11/21`.
fn is_iso_date(word: &[u8]) -> bool {
    let [year @ .., s1, m1, m2, s2, d1, d2] = word else { return false };
    is_year(year) && s1 == s2 && b"-/".contains(s1) && [m1, m2, d1, d2].iter().all(|byte| byte.is_ascii_digit())
}

/// `10:00:00`, with a fraction and a zone or without.
fn is_time(word: &[u8]) -> bool {
    let Some((clock, rest)) = word.split_at_checked(8) else { return false };
    let sound =
        clock.iter().enumerate().all(|(at, byte)| if at % 3 == 2 { *byte == b':' } else { byte.is_ascii_digit() });
    let fraction = match rest {
        [b'.' | b',', fraction @ ..] => number(fraction).map_or(fraction, |(_, after)| after),
        _ => rest,
    };
    sound && (matches!(fraction, [] | b"Z") || is_offset(fraction))
}

/// `+01:00` or `+0100`.
fn is_offset(word: &[u8]) -> bool {
    matches!(word, [b'+' | b'-', digits @ ..] if (4..=5).contains(&digits.len())
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b':'))
}

/// `message repeated N times: [ …]`, by which rsyslog leaves out what it has written already.
fn repeated(message: &[u8]) -> Option<(u32, &[u8])> {
    let (count, rest) = number(message.strip_prefix(b"message repeated ")?)?;
    let inner = rest.strip_prefix(b" times: [")?.strip_suffix(b"]")?;
    let count = std::str::from_utf8(count).ok()?.parse().unwrap_or(REPEATED);
    Some((count.clamp(1, REPEATED), inner.trim_ascii()))
}

/// Takes away what some programs put before their words though the head has it: process, date, a second head.
fn strip_inside<'a>(message: &'a [u8], program: Option<&[u8]>, process: Option<&[u8]>) -> &'a [u8] {
    let mut message = message;
    if program.is_none() {
        // Exim's own log.
        let own = message.strip_prefix(b"[").and_then(number).and_then(|(_, rest)| rest.strip_prefix(b"] "));
        return own.unwrap_or(message);
    }
    let again = tag(message).or_else(|| tag(after_host(message)?));
    if let Some(again) = again.filter(|again| again.is_closed && Some(again.program) == program) {
        message = again.rest.trim_ascii_start();
    }
    if let Some(rest) = message.strip_prefix(b"[ID ") {
        let after = number(rest).and_then(|(_, rest)| facility(rest.strip_prefix(b" ")?)?.strip_prefix(b"] "));
        message = after.unwrap_or(message);
    }
    let own = message.strip_prefix(b"[").and_then(number).filter(|(own, _)| Some(*own) == process);
    if let Some(rest) = own.and_then(|(_, rest)| rest.strip_prefix(b"] ")) {
        message = rest;
    }
    if let Some(found) = date(message) {
        return found.rest;
    }
    bracketed_date(message).unwrap_or(message)
}

/// `NOTICE[343][C-00000fa9]: chan_sip.c:688 in handle_request: …` without all that.
fn asterisk(message: &[u8]) -> &[u8] {
    let strip = || {
        let level = message.iter().position(|byte| !byte.is_ascii_uppercase()).filter(|end| *end > 3)?;
        let rest = message.get(level..)?;
        let (_, rest) = number(rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"[")?)?;
        let mut rest = rest.strip_prefix(b"]")?;
        if let Some(call) = rest.strip_prefix(b"[C-") {
            let end = call.iter().position(|byte| !byte.is_ascii_hexdigit())?;
            rest = call.get(end..)?.strip_prefix(b"]")?;
        }
        let rest = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
        let mut after = rest;
        let file = field(&mut after);
        let Some(at) = file.windows(3).position(|part| part == b".c:") else { return Some(rest) };
        if file.len() > at + 3 {
            let function = field(&mut after);
            if function == b"in" {
                field(&mut after);
            }
        }
        Some(after.trim_ascii_start())
    };
    strip().unwrap_or(message)
}

/// `12[IKE] <home|7> …` of strongSwan: its threads are what a log-in's lines have in common.
fn charon(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let (thread, rest) = number(message)?;
    let (part, rest) = rest.strip_prefix(b"[")?.split_at_checked(3)?;
    let rest = rest.strip_prefix(b"] ").filter(|_| part.iter().all(u8::is_ascii_uppercase))?;
    let mut after = rest;
    let name = field(&mut after);
    let rest = if name.starts_with(b"<") && name.ends_with(b">") { after.trim_ascii_start() } else { rest };
    Some((thread, rest))
}

/// The line without the colours that some programs write for a terminal, as they are or as syslog's daemons
/// write control characters; `None` where it has none.
fn plain(line: &[u8]) -> Option<Vec<u8>> {
    let (mut made, mut begin, mut at) = (Vec::new(), 0, 0);
    while let Some(next) = line.get(at..)?.iter().position(|byte| matches!(byte, 0x1b | b'#' | b'^')) {
        at += next;
        match line.get(at..).and_then(colour) {
            Some(length) => {
                made.extend(line.get(begin..at)?);
                at += length;
                begin = at;
            }
            None => at += 1,
        }
    }
    made.extend(line.get(begin..)?);
    (begin > 0).then_some(made)
}

/// The length of the colour that the text begins with.
fn colour(text: &[u8]) -> Option<usize> {
    const BEGINS: [&[u8]; 3] = [b"\x1b[", b"#033[", b"^[["];
    let begin = BEGINS.iter().find(|begin| text.starts_with(begin))?.len();
    let inner = text.get(begin..)?;
    let end = inner.iter().take(16).position(|byte| !byte.is_ascii_digit() && *byte != b';')?;
    (inner.get(end) == Some(&b'm')).then_some(begin + end + 1)
}

/// Can a line of this length have been longer?
fn is_cut(length: usize) -> bool {
    CUTS.iter().any(|cut| length <= *cut && length + UNSEEN > *cut)
}

/// The next word.
fn field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = rest.trim_ascii_start();
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    word
}

/// Digits, at least one and at most ten, and what follows.
fn number(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|_| (1..=10).contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line, its program, its process and what it says.
    const HEADS: &[(&str, &str, &str, &str)] = &[
        // OpenWrt's logread, and with -t
        ("Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[1]: a b", "dropbear", "1", "a b"),
        ("Sat Nov  1 10:00:00 2026 [1795255200.123] auth.info sshd[12]: a: b", "sshd", "12", "a: b"),
        ("Sat Nov  1 10:00:00 2026 kern.info kernel: [ 1.0] x", "kernel", "", "x"),
        ("Sat Nov  1 10:00:00 2026 user.info : luci: failed", "luci", "", "failed"),
        ("Sat Nov  1 10:00:00 2026 authpriv.warn dispatcher.uc: luci: failed", "dispatcher.uc", "", "luci: failed"),
        // RFC 3164
        ("Nov  1 10:00:00 host sshd[12]: a: b", "sshd", "12", "a: b"),
        ("Nov  1 10:00:00.123456 host sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 192.0.2.9 sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 2001:db8::9 sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 s_src@host sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 host/192.0.2.9 sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 192.0.2.9 Nov  1 10:00:00 host sshd[12]: a", "sshd", "12", "a"),
        ("2026-11-21T10:00:00Z host Sat Nov 21 10:00:00 2026 auth.info sshd[12]: a", "sshd", "12", "a"),
        (
            "Nov  1 10:00:00 192.0.2.9 <38>Nov  1 10:00:00 host sshd[12]: a",
            "",
            "",
            "192.0.2.9 <38>Nov  1 10:00:00 host sshd[12]: a",
        ),
        ("Nov 1 2026 10:00:00 host sshd[12]: a", "sshd", "12", "a"),
        ("Nov 21 10:00:00 2026 host sshd[12]: a", "sshd", "12", "a"),
        ("<38>Nov  1 10:00:00 host sshd[12]: a", "sshd", "12", "a"),
        ("<38>sshd[12]: a", "sshd", "12", "a"),
        ("<38>sshd: a", "sshd", "", "a"),
        ("2026-11-21 10:00:00 <38>Nov 21 10:00:00 host sshd[12]: a", "sshd", "12", "a"),
        ("Nov 21 10:00:00 host sshd-session[12]: a", "sshd-session", "12", "a"),
        ("Nov 21 10:00:00 host postfix/submission/smtpd[12]: a", "postfix/submission/smtpd", "12", "a"),
        ("Nov 21 10:00:00 host openvpn(home)[12]: a", "openvpn", "12", "a"),
        ("Nov 21 10:00:00 host sshd[12] a", "sshd", "12", "a"),
        // Without hosts, as busybox' -S writes
        ("Nov  1 10:00:00 sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 [sshd]: a", "sshd", "", "a"),
        ("Nov  1 10:00:00 [sshd] a", "sshd", "", "a"),
        ("Nov 21 10:00:00 anyprog[7]: sshd[1]: Invalid user x", "anyprog", "7", "sshd[1]: Invalid user x"),
        ("Nov 21 10:00:00 anyprog: sshd[1]: Invalid user x", "anyprog", "", "sshd[1]: Invalid user x"),
        // busybox syslogd
        ("Nov  1 10:00:00 host auth.info sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 host authpriv.warn dropbear[12]: a", "dropbear", "12", "a"),
        // BSD's -v and -vv
        ("Nov  1 10:00:00 <auth.info> host sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 <4.6> host sshd[12]: a", "sshd", "12", "a"),
        ("Nov  1 10:00:00 <local7.info> sshd[12]: a", "sshd", "12", "a"),
        // socklog and svlogd
        ("2026-11-21T10:00:00.12345 auth.info: Nov 21 10:00:00 sshd[12]: a", "sshd", "12", "a"),
        (
            "2026-11-21_10:00:00.12345 auth.info: sshd[12]: a",
            "",
            "",
            "2026-11-21_10:00:00.12345 auth.info: sshd[12]: a",
        ),
        ("2026-11-21T10:00:00.12345 auth.info: sshd[12]:  a", "sshd", "12", "a"),
        ("2026-11-21T10:00:00.12345 auth.info: a b c", "", "", "a b c"),
        ("@400000004c91b044077a9e94 imap-login: Info: a", "imap-login", "", "a"),
        // ISO dates
        ("2026-11-21T10:00:00.1+01:00 host postfix/smtpd[1]: w", "postfix/smtpd", "1", "w"),
        ("2026-11-21T10:00:00Z host sshd[12]: a", "sshd", "12", "a"),
        ("2026-11-21T10:00:00+0100 host sshd[12]: a", "sshd", "12", "a"),
        ("2026-11-21 10:00:00.180218+0000 host sshd[12]: a", "sshd", "12", "a"),
        ("2026-11-21 10:00:00,121 host sshd[12]: a", "sshd", "12", "a"),
        ("2026-11-21 10:00:00 +01:00 host sshd[12]: a", "sshd", "12", "a"),
        ("2026-11-21 10:00:00 host sshd[12]: a", "sshd", "12", "a"),
        // RFC 5424
        ("<38>1 2026-11-21T10:00:00.95-04:00 host sshd 12 - - a b", "sshd", "12", "a b"),
        ("2026-11-21T10:00:00.95-04:00 host sshd 12 - - a b", "sshd", "12", "a b"),
        ("Nov 21 10:00:00 <38>1 2026-11-21T10:00:00Z host sshd 12 ID - a", "sshd", "12", "a"),
        (r#"<38>1 2026-11-21T10:00:00Z host sshd - - [a b="]\"c"][d@1 e="[f]"] a b"#, "sshd", "", "a b"),
        ("<38>1 2026-11-21T10:00:00Z host sshd 12 - - \u{feff}a", "sshd", "12", "a"),
        // journalctl's
        ("Sat 2026-11-21 10:00:00 UTC host sshd[12]: a", "sshd", "12", "a"),
        ("Sat 2026-11-21 10:00:00 CEST host sshd[12]: a", "sshd", "12", "a"),
        ("1795255200.123456 host sshd[12]: a", "sshd", "12", "a"),
        ("[ 1234.567890] host sshd[12]: a", "sshd", "12", "a"),
        ("[ 1234.567890 <    0.100000 >] host sshd[12]: a", "sshd", "12", "a"),
        ("host sshd[12]: a", "sshd", "12", "a"),
        ("sshd[12]: a", "sshd", "12", "a"),
        // What programs put behind their heads
        ("Nov 21 10:00:00 host dropbear[12]: [12] Nov 21 10:00:00 a", "dropbear", "12", "a"),
        ("Nov 21 10:00:00 host dropbear[12]: [13] Nov 21 10:00:00 a", "dropbear", "12", "[13] Nov 21 10:00:00 a"),
        ("Nov 21 10:00:00 host sshd[12]: [ID 800047 auth.info] a", "sshd", "12", "a"),
        (
            "Sat Nov 21 10:00:00 2026 daemon.info asterisk[12]: [Nov 21 10:00:00] NOTICE[33]: res/a.c:6 log_it: a b",
            "asterisk",
            "12",
            "a b",
        ),
        ("Nov 21 10:00:00 host asterisk[12]: NOTICE[33]: chan_sip.c:23417 in handle: a b", "asterisk", "12", "a b"),
        ("Nov 21 10:00:00 host exim[12]: 2026-11-21 10:00:00 a b", "exim", "12", "a b"),
        ("Nov 21 10:00:00 host nginx[12]: host nginx: 2026/11/21 10:00:00 [error] a", "nginx", "12", "[error] a"),
        ("Nov 21 10:00:00 host dovecot[12]: imap-login: Info: a", "imap-login", "12", "a"),
        (
            "Nov 21 10:00:00 host dovecot: auth-worker(304): pam(u,192.0.2.1): a",
            "auth-worker",
            "",
            "pam(u,192.0.2.1): a",
        ),
        ("Nov 21 10:00:00 host dovecot: imap(u)<1><2>: a", "dovecot", "", "imap(u)<1><2>: a"),
        ("Nov 21 10:00:00 host charon[12]: 07[IKE] <home|5> a b", "charon", "07", "a b"),
        // Programs' own logs
        ("[1234] Nov 21 10:00:00 Bad", "dropbear", "1234", "Bad"),
        ("[Nov 21 10:00:00] NOTICE[1]: x", "asterisk", "", "x"),
        ("[2026-11-21 10:00:00] NOTICE[1][C-00000fa9] chan_sip.c: x y", "asterisk", "", "x y"),
        ("[2026-11-21 10:00:00] NOTICE [22382] manager.c: x y", "asterisk", "", "x y"),
        ("NOTICE[566]: chan_sip.c:28926 handle_it: x y", "asterisk", "", "x y"),
        ("NOTICE[566]: x y", "NOTICE", "566", "x y"),
        ("Sat Nov 21 10:00:00 2026 [pid 5] [u] FAIL", "vsftpd", "5", "[pid 5] [u] FAIL"),
        ("2026-11-21 10:00:00 [12] a b", "", "", "a b"),
        ("2026-11-21 10:00:00: (mod_auth.c.525) a", "", "", "(mod_auth.c.525) a"),
        ("2026/11/21 10:00:00 [error] 1#0: a", "", "", "[error] 1#0: a"),
        ("[2026-11-21 10:00:00.129][vaultwarden::a][ERROR] a", "", "", "[vaultwarden::a][ERROR] a"),
        ("2026-11-21 10:00:00.123 WARNING (MainThread) [a.b] c", "", "", "WARNING (MainThread) [a.b] c"),
        (
            "2026-11-21 10:00:00,121 host proftpd[12] localhost (a[192.0.2.1]): a",
            "proftpd",
            "12",
            "localhost (a[192.0.2.1]): a",
        ),
        // None
        ("Failed password for sshd[1]: x", "", "", "Failed password for sshd[1]: x"),
        ("Failed sshd: x", "", "", "Failed sshd: x"),
        ("error: PAM: x", "", "", "error: PAM: x"),
        ("warning: sshd[1]: x", "", "", "warning: sshd[1]: x"),
        ("Nov 21 host sshd[1]: x", "", "", "Nov 21 host sshd[1]: x"),
        ("Sat Nov", "", "", "Sat Nov"),
        ("Nov 21 10:00:00 host say sshd[1]: x", "", "", "host say sshd[1]: x"),
        ("Nov 21 10:00:00 host a b 12 - - x", "", "", "host a b 12 - - x"),
        ("Nov 21 10:00:00 host sshd 12 - - x", "", "", "host sshd 12 - - x"),
        ("[", "", "", "["),
        ("", "", "", ""),
    ];

    #[test]
    fn heads_of_every_kind() {
        for (text, program, process, message) in HEADS {
            let line = Line::parse(text.as_bytes());
            let text_of = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
            let found = (text_of(line.program), text_of(line.process), text_of(Some(line.message)));
            assert_eq!((&*found.0, &*found.1, &*found.2), (*program, *process, *message), "{text}");
            assert_eq!((line.times, line.cut), (1, false), "{text}");
        }
    }

    #[test]
    fn colours_are_left_out() {
        let of = |text: &str| plain(text.as_bytes()).map(|made| String::from_utf8(made).unwrap());
        for escape in ["\x1b", "#033", "^["] {
            let text =
                format!("{escape}[36m2026/11/21 10:00:00 {escape}[0m{escape}[1;32m[I]{escape}[0m a {escape}[93mb");
            assert_eq!(of(&text).unwrap(), "2026/11/21 10:00:00 [I] a b", "{escape}");
        }
        for text in ["", "a", "[[a] 33", "#033[x", "\x1b[1;", "\x1b[12345678901234567m", "^[[2J"] {
            assert_eq!(of(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_was_left_out_counts() {
        let line = Line::parse(b"Nov 21 10:00:00 host sshd[12]: message repeated 3 times: [ a [b] c]");
        assert_eq!((line.message, line.times), (&b"a [b] c"[..], 3));
        let line = Line::parse(b"Nov 21 10:00:00 host sshd[12]: message repeated 4000000000 times: [ a]");
        assert_eq!((line.message, line.times), (&b"a"[..], REPEATED));
        let line = Line::parse(b"Nov 21 10:00:00 host sshd[12]: message repeated 0 times: [ a]");
        assert_eq!(line.times, 1);
    }

    #[test]
    fn lengths_at_which_lines_are_cut() {
        let of = |length: usize| {
            let head = "Sat Nov 21 10:00:00 2026 daemon.err uhttpd[2430]: ";
            let text = format!("{head}{}", "x".repeat(length));
            Line::parse(text.as_bytes()).cut
        };
        // The message, with and without its program's name, as the transport had it.
        for length in [1023, 1024, 1023 - 14, 1023 - 14 - 20, 2048, 4000] {
            assert!(of(length), "{length}");
        }
        for length in [10, 300, 700, 1100, 1500] {
            assert!(!of(length), "{length}");
        }
        let blanks = format!("Nov 21 10:00:00 host sshd[1]: a{}", " ".repeat(992));
        assert!(Line::parse(blanks.as_bytes()).cut, "blanks at the end may hide the cut");
    }
}
