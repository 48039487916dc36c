//! The report as a letter, through msmtp or sendmail, whichever is there. Runs as root from cron, outside the daemon's
//! jail, which may start no such program.
//!
//! The address was checked when the configuration was read, and stands behind `--`. The letter's body is in base64, so
//! that nothing in it is a header, an end of the letter or a line too long, whoever wrote it.

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::programs::{self, Guarded};
use crate::{calendar, letters};

/// What may send a letter, the first that is there.
const PROGRAMS: [&str; 2] = ["msmtp", "sendmail"];

/// A program that is not done by then is ended: cron starts the next one in an hour.
const PATIENCE: Duration = Duration::from_secs(300);

/// Most bytes that are read of what it says, and that it may say.
const SAID: u64 = 1000;
const SAID_MOST: u64 = 256 << 10;

/// What no line of base64 can be.
const BOUNDARY: &str = "=_diswall";

/// Sends the two forms of one report. `subject` is this program's own words.
///
/// # Errors
/// A sentence: there is no program, or what it says.
pub fn send(to: &str, subject: &str, text: &str, page: &str) -> Result<(), String> {
    let path = PROGRAMS.into_iter().find_map(programs::find);
    let path = path.ok_or("neither msmtp nor sendmail is installed; msmtp is a package of OpenWrt")?;
    let failed = |error| format!("{}: {error}", path.display());
    let mut command = programs::at(&path);
    let mut errors = programs::nameless().map_err(failed)?;
    let stderr = errors.try_clone().map_err(failed)?;
    command.args(["-i", "--", to]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
    let mut child = Guarded(command.spawn().map_err(failed)?);
    let letter = letter(to, subject, text, page, calendar::now());
    if let Some(mut stdin) = child.0.stdin.take() {
        // One that ends before it has read all says why. A thread, since it may never read any.
        drop(thread::spawn(move || drop(stdin.write_all(letter.as_bytes()))));
    }
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.0.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() > end => {
                return Err(format!("{}: not done after {} s, and ended", path.display(), PATIENCE.as_secs()));
            }
            // It is in memory.
            None if errors.metadata().is_ok_and(|file| file.len() > SAID_MOST) => {
                return Err(format!("{}: it said more than {SAID_MOST} bytes, and was ended", path.display()));
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(format!("{}: {status}: {}", path.display(), programs::said(&mut errors, SAID)))
}

/// RFC 5322 and 2046, its lines ended as programs of Unix expect it.
fn letter(to: &str, subject: &str, text: &str, page: &str, now: u64) -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name: String = name.chars().filter(plain).take(40).collect();
    let date = calendar::http(now).replace("GMT", "+0000");
    let mut out = format!(
        "To: {to}\nSubject: {name}: {subject}\nDate: {date}\nAuto-Submitted: auto-generated\n\
         MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"{BOUNDARY}\"\n"
    );
    for (kind, body) in [("plain", text), ("html", page)] {
        out.push_str(&format!(
            "\n--{BOUNDARY}\nContent-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
        ));
        encoded(&mut out, body.as_bytes());
    }
    out.push_str(&format!("\n--{BOUNDARY}--\n"));
    out
}

/// Base64 in lines of 76.
fn encoded(out: &mut String, bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for line in bytes.chunks(57) {
        out.push_str(&letters::encode(line, LETTERS, 6));
        out.push_str(["", "==", "="].get(line.len() % 3).copied().unwrap_or_default());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            let mut out = String::new();
            encoded(&mut out, bytes.as_bytes());
            assert_eq!(out.trim_end(), text);
        }
    }

    #[test]
    fn nothing_in_a_report_is_a_line_of_the_letter() {
        let evil = "\n.\nBcc: victim@example.org\r\n\r\n--=_diswall--\nFrom x\n".repeat(300);
        let letter = letter("owner@example.org", "diswall: 7 days", &evil, &evil, 1_798_761_599);
        assert!(letter.lines().all(|line| line.len() <= 78 && line != "."), "{letter}");
        assert!(letter.lines().all(|line| !line.starts_with("Bcc") && !line.starts_with("From ")));
        assert_eq!(letter.lines().filter(|line| line.starts_with("--")).count(), 3);
        let (head, _) = letter.split_once("\n\n").unwrap_or_default();
        assert_eq!(head.lines().count(), 6, "{head}");
        assert!(head.contains("Date: Thu, 31 Dec 2026 23:59:59 +0000"), "{head}");
    }
}
