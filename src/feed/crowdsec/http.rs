//! An answer of HTTP/1.1 as it comes: the head, then a body of a known length, in chunks, or up to the end of the
//! connection.
//!
//! A local API is asked every few seconds, which is no work for a program of its own. Every length is bounded, and
//! what two machines could read in two ways is refused. Pure; `lapi` has the connection.

/// Longest head, and longest line between chunks.
const HEAD: usize = 16 << 10;
const LINE: usize = 256;

/// Why an answer is refused.
pub type Error = &'static str;

const CUT: Error = "the answer was cut";
const NO_HTTP: Error = "what answers there speaks no HTTP";

/// What is expected next.
#[derive(Debug)]
enum State {
    Head,
    /// So many bytes of the body.
    Fixed(u64),
    /// Up to the end of the connection.
    Open,
    /// A chunk's length; a digit has been seen.
    Size(u64, bool),
    /// The rest of the line of a chunk's length.
    SizeEnd(u64),
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of a chunk's line.
    ChunkEnd,
    /// A line behind the last chunk; whether anything but its end has come.
    Trailer(bool),
    End,
}

/// See the module's head.
#[derive(Debug)]
pub struct Answer {
    state: State,
    head: Vec<u8>,
    /// Bytes of the line at hand, outside chunks.
    line: usize,
    /// Bytes of the trailer.
    trailer: usize,
    /// The status, once the head is there.
    pub status: Option<u16>,
}

impl Default for Answer {
    fn default() -> Answer {
        Answer { state: State::Head, head: Vec::new(), line: 0, trailer: 0, status: None }
    }
}

impl Answer {
    /// Takes a piece of what came; the body of an answer that is one (status 200) goes into the sink.
    ///
    /// # Errors
    /// It is no answer that is understood.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        while !bytes.is_empty() {
            // What comes with another status is for people.
            let wanted = self.status == Some(200);
            let sink = &mut |bytes: &[u8]| {
                if wanted {
                    sink(bytes)
                }
            };
            let taken = match self.state {
                State::Head => self.head(bytes)?,
                State::Fixed(left) => {
                    let taken = pass(bytes, left, sink);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::End } else { State::Fixed(left) };
                    taken
                }
                State::Open => pass(bytes, u64::MAX, sink),
                State::Chunk(left) => {
                    let taken = pass(bytes, left, sink);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    taken
                }
                // What follows the answer is nobody's.
                State::End => return Ok(()),
                _ => {
                    self.between(bytes.first().copied().unwrap_or_default())?;
                    1
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether all of it has come, by what it says itself.
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// It should not have.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::End | State::Open => Ok(()),
            State::Head if self.head.is_empty() => Err("it closed the connection without an answer"),
            _ => Err(CUT),
        }
    }

    /// Takes as much as belongs to the head.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let before = self.head.len();
        // The end may lie across two pieces.
        let from = before.saturating_sub(3);
        let room = (HEAD - before).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        let end = self.head.get(from..).unwrap_or_default().windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.map(|end| from + end) else {
            let start = self.head.get(..5).unwrap_or(b"HTTP/");
            let whole = start == b"HTTP/" && self.head.len() < HEAD;
            return if whole { Ok(room) } else { Err(NO_HTTP) };
        };
        let text = self.head.get(..end).and_then(|head| str::from_utf8(head).ok()).ok_or(NO_HTTP)?;
        let (status, state) = understand(text)?;
        self.head.clear();
        self.state = state;
        // 100 to 199 only announce the answer.
        self.status = (status >= 200).then_some(status);
        Ok(end + 4 - before)
    }

    /// One byte of a line between chunks.
    fn between(&mut self, byte: u8) -> Result<(), Error> {
        self.line += 1;
        if self.line > LINE {
            return Err("a chunk of the answer has no length");
        }
        let digit = char::from(byte).to_digit(16);
        self.state = match (&self.state, byte) {
            (State::Size(size, _), _) if digit.is_some() => {
                let next = size.checked_mul(16).and_then(|size| size.checked_add(digit.unwrap_or(0).into()));
                State::Size(next.ok_or("a chunk of the answer is too long")?, true)
            }
            (State::Size(size, true), b'\r' | b';' | b' ' | b'\t') => State::SizeEnd(*size),
            (State::SizeEnd(size), b'\n') => {
                self.line = 0;
                if *size == 0 { State::Trailer(false) } else { State::Chunk(*size) }
            }
            (State::SizeEnd(size), _) => State::SizeEnd(*size),
            (State::ChunkEnd, b'\r') => State::ChunkEnd,
            (State::ChunkEnd, b'\n') => {
                self.line = 0;
                State::Size(0, false)
            }
            (State::Trailer(false), b'\n') => State::End,
            (State::Trailer(seen), _) => {
                let seen = byte != b'\n' && (*seen || byte != b'\r');
                (self.trailer, self.line) = (self.trailer + 1, 0);
                if self.trailer > HEAD {
                    return Err("the answer has no end");
                }
                State::Trailer(seen)
            }
            _ => return Err("a chunk of the answer has no length"),
        };
        Ok(())
    }
}

fn pass(bytes: &[u8], most: u64, sink: &mut dyn FnMut(&[u8])) -> usize {
    let taken = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    sink(bytes.get(..taken).unwrap_or_default());
    taken
}

/// The status of a head, and how its body comes.
fn understand(head: &str) -> Result<(u16, State), Error> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let rest = first.strip_prefix("HTTP/1.").and_then(|rest| rest.strip_prefix(['0', '1'])).ok_or(NO_HTTP)?;
    let status = rest.strip_prefix(' ').and_then(|rest| rest.get(..3)).ok_or(NO_HTTP)?;
    let digits = status.bytes().all(|byte| byte.is_ascii_digit());
    let status = status.parse::<u16>().ok().filter(|status| digits && *status >= 100).ok_or(NO_HTTP)?;
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(NO_HTTP)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let known = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<u64>().ok()).flatten();
            let known = known.filter(|known| length.is_none_or(|before| before == *known));
            length = Some(known.ok_or("the answer says no length that is one")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err("the answer is encoded in a way that was not asked for");
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case("content-encoding") && !value.eq_ignore_ascii_case("identity") {
            return Err("the answer is packed, which was not asked for");
        }
    }
    let state = match (status, length) {
        (..200, _) => State::Head,
        (204 | 304, _) => State::End,
        _ if chunked && length.is_some() => return Err("the answer says two lengths"),
        _ if chunked => State::Size(0, false),
        (_, Some(0)) => State::End,
        (_, Some(length)) => State::Fixed(length),
        (_, None) => State::Open,
    };
    Ok((status, state))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], piece: usize) -> Result<(u16, Vec<u8>), Error> {
        let (mut answer, mut body) = (Answer::default(), Vec::new());
        for bytes in text.chunks(piece.max(1)) {
            answer.push(bytes, &mut |bytes| body.extend_from_slice(bytes))?;
        }
        answer.finish()?;
        Ok((answer.status.unwrap_or(0), body))
    }

    #[test]
    fn every_form_of_a_body() {
        for text in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\nhello"[..],
            b"HTTP/1.0 200 OK\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0005\r\nhello\r\n0\r\nA: b\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello and more",
        ] {
            for piece in [1, 2, 3, 5, 1000] {
                assert_eq!(read(text, piece), Ok((200, b"hello".to_vec())), "{}", String::from_utf8_lossy(text));
            }
        }
        assert_eq!(read(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 9), Ok((403, vec![])));
        assert_eq!(read(b"HTTP/1.1 204 No Content\r\n\r\n", 9), Ok((204, vec![])));
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, why) in [
            ("", "without an answer"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
            ("HTTP/2 200 OK\r\n\r\n", "no HTTP"),
            ("HTTP/1.1 2000 OK\r\n\r\n", ""),
            ("HTTP/1.1 +20 OK\r\n\r\n", "no HTTP"),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "no HTTP"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "no length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "no length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", "two lengths"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "encoded"),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "packed"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "cut"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "cut"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "cut"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "no length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "no length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", "too long"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello", "no length"),
        ] {
            match read(text.as_bytes(), 7) {
                Err(error) => assert!(error.contains(why) && !why.is_empty(), "{text}: {error}"),
                Ok(_) => assert_eq!(why, "", "{text}"),
            }
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(1 << 20));
        assert_eq!(read(long.as_bytes(), 1000), Err(NO_HTTP));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(read(format!("{head}5;{}", "x".repeat(1 << 20)).as_bytes(), 1000).is_err());
        assert!(read(format!("{head}0\r\n{}", "a: b\r\n".repeat(1 << 16)).as_bytes(), 1000).is_err());
    }

    proptest! {
        /// Whatever the chunks and the pieces, the body is the body; whatever is cut is known to be.
        #[test]
        fn a_body_in_chunks_is_whole_or_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), piece in 1usize..50, keep in 0.0f64..1.0,
        ) {
            let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&text, piece), Ok((200, chunks.concat())));
            let cut = (text.len() as f64 * keep) as usize;
            prop_assert!(read(&text[..cut], piece).is_err());
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunked in any::<bool>()) {
            let head: &[u8] = if chunked { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"HTTP/1.1 " };
            let _ = read(&[head, &bytes].concat(), 5);
        }
    }
}
