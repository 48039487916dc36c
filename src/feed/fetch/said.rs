//! What a program says on its standard error while it fetches: the server's head of an answer, where it
//! repeats it, and in the end what went wrong. It is read line by line, and only what matters is kept.

use crate::outside;

/// Longest line that is looked at: an address of the longest, and its words.
const LINE: usize = 2200;
/// Longest validator that is kept, in bytes.
const VALIDATOR: usize = 200;
/// Longest sentence of a program's that is kept, in bytes.
const SENTENCE: usize = 160;

/// What a program has said so far.
#[derive(Debug, Default)]
pub struct Said {
    /// What stands before each line of a head; `None`: the program shows none.
    indent: Option<&'static str>,
    line: Vec<u8>,
    in_head: bool,
    /// The sentence that is kept names the cause, and what follows are its consequences.
    cause: bool,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    pub modified: Option<String>,
    /// Its `Content-Length`.
    pub length: Option<u64>,
    /// Where it leads instead.
    pub location: Option<String>,
    /// Seconds that it wants to be left alone.
    pub retry_after: Option<u32>,
    /// Its end is marked: in chunks, or by HTTP/2 and above.
    pub framed: bool,
    /// The program knew how long the body would be, and saw all of it.
    pub counted: bool,
    /// The last sentence of the program's own, cleaned.
    pub last: String,
}

impl Said {
    /// Nothing yet, of a program that shows heads with `indent` before each line, or shows none.
    pub fn new(indent: Option<&'static str>) -> Said {
        Said { indent, ..Said::default() }
    }

    /// Reads on.
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
                self.read(&text);
                continue;
            }
            // As on a terminal: the line is written anew.
            if self.line.last() == Some(&b'\r') {
                self.line.clear();
            }
            if self.line.len() < LINE {
                self.line.push(*byte);
            }
        }
    }

    fn read(&mut self, line: &str) {
        if let Some(head) = self.indent.and_then(|indent| line.strip_prefix(indent)) {
            if let Some(rest) = head.strip_prefix("HTTP/") {
                return self.begin(rest);
            }
            if self.in_head && !head.trim().is_empty() {
                return self.header(head);
            }
        }
        self.in_head = false;
        self.sentence(line);
    }

    /// A new answer: what the one before said holds no longer.
    fn begin(&mut self, rest: &str) {
        let mut words = rest.split(' ');
        self.framed = matches!(words.next(), Some("2" | "3"));
        self.status = words.next().and_then(|word| word.parse().ok());
        (self.etag, self.modified, self.length, self.location) = (None, None, None, None);
        self.retry_after = None;
        self.in_head = true;
    }

    fn header(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else { return };
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "etag" => self.etag = validator(value),
            "last-modified" => self.modified = validator(value),
            "content-length" => self.length = value.parse().ok(),
            // A date, which it may be too, is not read.
            "retry-after" => self.retry_after = value.parse().ok(),
            // One that was cut would lead elsewhere.
            "location" if line.len() < LINE => self.location = Some(value.to_owned()),
            "transfer-encoding" => self.framed |= value.to_ascii_lowercase().contains("chunked"),
            _ => {}
        }
    }

    fn sentence(&mut self, line: &str) {
        if self.indent.is_none() {
            if let Some(status) = line.strip_prefix("HTTP error ") {
                self.status = status.parse().ok();
            }
            if let Some((path, host)) = line.strip_prefix("Redirected to ").and_then(|rest| rest.rsplit_once(" on ")) {
                // It leaves the brackets out.
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                self.location = Some(["//", open, host, close, path].concat()).filter(|_| line.len() < LINE);
            }
            self.counted |= line.contains("100% |");
        }
        if self.cause || line.trim().is_empty() {
            return;
        }
        self.cause = line.starts_with("curl: (") || line.starts_with("SSL ");
        self.last = outside::clean(line.trim(), SENTENCE);
    }
}

/// A validator as it may be given back to the server: printable and short.
pub fn validator(value: &str) -> Option<String> {
    let plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (plain && !value.is_empty() && value.len() <= VALIDATOR && value.trim() == value).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(indent: Option<&'static str>, text: &str) -> Said {
        let mut said = Said::new(indent);
        // However it is cut into pieces.
        text.as_bytes().chunks(7).for_each(|piece| said.take(piece));
        said
    }

    #[test]
    fn what_curl_shows() {
        let all = said(
            Some(""),
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nETag: \"old\"\r\nRetry-After: 9\r\n\r\nHTTP/2 200\r\netag: W/\"new\"\r\n\
             Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 12\r\n\r\n\
             curl: (18) transfer closed with 50 bytes remaining to read\nMore details here\n",
        );
        assert_eq!((all.status, all.etag.as_deref(), all.length), (Some(200), Some("W/\"new\""), Some(12)));
        assert_eq!(all.modified.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!((all.location, all.framed, all.retry_after), (None, true, None));
        assert_eq!(said(Some(""), "HTTP/2 429\r\nretry-after: 120\r\n\r\n").retry_after, Some(120));
        assert_eq!(all.last, "curl: (18) transfer closed with 50 bytes remaining to read");
    }

    #[test]
    fn what_wget_shows() {
        let all = said(Some("  "), "  HTTP/1.1 302 Found\n  Location: /x\n0 redirections exceeded.\n");
        assert_eq!((all.status, all.location.as_deref()), (Some(302), Some("/x")));
        assert_eq!(all.last, "0 redirections exceeded.");
        assert_eq!(said(Some("  "), "HTTP/1.1 200 OK\n").status, None, "no head of its");
    }

    #[test]
    fn what_uclient_fetch_shows() {
        assert_eq!(said(None, "Connecting to ::1:80\nHTTP error 304\n").status, Some(304));
        let redirected = |host: &str| said(None, &format!("Redirected to /a on b on {host}\n")).location;
        assert_eq!(redirected("c.example").as_deref(), Some("//c.example/a on b"));
        assert_eq!(redirected("2001:db8::1").as_deref(), Some("//[2001:db8::1]/a on b"));
        let progress = "\r-      50% |**  |  5  0:00:01 ETA".repeat(200);
        assert!(!said(None, &format!("{progress}\nConnection reset prematurely\n")).counted);
        let whole = format!("{progress}\r-     100% |****| 10   0:00:00 ETA\nDownload completed (10 bytes)\n");
        assert!(said(None, &whole).counted);
        let refused = said(None, "SSL verify error: self-signed certificate\nFailed to send request: Unknown\n");
        assert_eq!(refused.last, "SSL verify error: self-signed certificate");
    }

    #[test]
    fn validators_are_bounded() {
        for value in ["", "a\u{7f}b", "\u{e9}", &"x".repeat(201)] {
            assert_eq!(validator(value), None, "{value:?}");
        }
        let long = format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\n\r\n", "x".repeat(LINE));
        assert_eq!(said(Some(""), &long).location, None);
    }

    proptest! {
        #[test]
        fn whatever_comes_little_is_kept(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            for indent in [None, Some(""), Some("  ")] {
                let mut said = Said::new(indent);
                said.take(&bytes);
                prop_assert!(said.last.len() <= SENTENCE && said.line.len() <= LINE);
                prop_assert!(said.last.chars().all(outside::is_plain));
            }
        }
    }
}
