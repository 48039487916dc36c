//! The answer of a local API read as it comes: an object with the lists `new` and `deleted`, in any order, each a
//! list of objects or `null`.
//!
//! Only one object is held at a time; what is longer than [`MOST`] is passed over and counted. What else the answer
//! has is passed over too. Pure; `client` pushes pieces and gets objects.

use std::fmt;

/// Longest object that is looked at, in bytes. A decision has some 200.
pub const MOST: usize = 4096;
/// How many lists and objects may stand in one another.
const DEPTH: u32 = 64;
/// Longest key at the top of which anything is known.
const KEY: usize = 16;

/// Which list an object is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// What is to be blocked from now on.
    New,
    /// What is not to be blocked any more.
    Deleted,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is something else, at this byte.
    Unexpected(u64),
    /// It ended too early.
    Cut,
    /// An object without a list of decisions.
    Foreign,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unexpected(at) => write!(f, "what came is no list of decisions (byte {at})"),
            Error::Cut => f.write_str("the answer was cut"),
            Error::Foreign => f.write_str("what came is no list of decisions: it has no \"new\""),
        }
    }
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    /// A key; `true`: or the end of the object.
    Key(bool),
    InKey,
    Colon,
    Value,
    /// The rest of `null`.
    Null(u8),
    /// An object of a list; `true`: or its end.
    Object(bool),
    InObject,
    AfterObject,
    /// Within a value that nobody asked for.
    Passing,
    AfterValue,
    End,
}

/// See the module's head.
#[derive(Debug)]
pub struct Reader {
    state: State,
    part: Option<Change>,
    /// The object or key at hand.
    held: Vec<u8>,
    /// Lists and objects open in the value at hand.
    depth: u32,
    in_text: bool,
    escaped: bool,
    at: u64,
    /// There was a list of new decisions, or `null` in its place.
    has_new: bool,
    /// Objects that were too long.
    pub long: u64,
}

impl Default for Reader {
    fn default() -> Reader {
        let (held, part) = (Vec::new(), None);
        Reader {
            state: State::Start,
            part,
            held,
            depth: 0,
            in_text: false,
            escaped: false,
            at: 0,
            has_new: false,
            long: 0,
        }
    }
}

impl Reader {
    /// Takes a piece; `each` gets every object that is whole, as text.
    ///
    /// # Errors
    /// It cannot be such an answer.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Change, &[u8])) -> Result<(), Error> {
        for byte in bytes {
            self.byte(*byte, each).ok_or(Error::Unexpected(self.at))?;
            self.at += 1;
        }
        Ok(())
    }

    /// There is no more.
    ///
    /// # Errors
    /// There should be; or it was an object of somebody else's, such as a gateway's in front of the API.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::End if self.has_new => Ok(()),
            State::End => Err(Error::Foreign),
            _ => Err(Error::Cut),
        }
    }

    /// `None`: it does not belong there.
    fn byte(&mut self, byte: u8, each: &mut dyn FnMut(Change, &[u8])) -> Option<()> {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            State::InKey => self.key(byte)?,
            State::InObject => self.object(byte, each)?,
            State::Passing => self.pass(byte)?,
            State::Null(at) => {
                (byte == *b"null".get(usize::from(at))?).then_some(())?;
                self.state = if at == 3 { State::AfterValue } else { State::Null(at + 1) };
            }
            _ if blank => {}
            State::Start if byte == b'{' => self.state = State::Key(true),
            State::Key(_) if byte == b'"' => {
                self.held.clear();
                self.state = State::InKey;
            }
            State::Key(true) if byte == b'}' => self.state = State::End,
            State::Colon if byte == b':' => self.state = State::Value,
            State::Value if self.part.is_none() => {
                self.state = State::Passing;
                (self.depth, self.in_text) = (0, false);
                // No value begins like that.
                (!matches!(byte, b',' | b'}' | b']' | b':')).then_some(())?;
                self.pass(byte)?;
            }
            State::Value if matches!(byte, b'n' | b'[') => {
                self.has_new |= self.part == Some(Change::New);
                self.state = if byte == b'n' { State::Null(1) } else { State::Object(true) };
            }
            State::Object(_) if byte == b'{' => {
                self.held.clear();
                (self.depth, self.in_text, self.state) = (0, false, State::InObject);
                self.object(byte, each)?;
            }
            State::Object(true) | State::AfterObject if byte == b']' => self.state = State::AfterValue,
            State::AfterObject if byte == b',' => self.state = State::Object(false),
            State::AfterValue if byte == b',' => self.state = State::Key(false),
            State::AfterValue if byte == b'}' => self.state = State::End,
            _ => return None,
        }
        Some(())
    }

    fn key(&mut self, byte: u8) -> Option<()> {
        if byte == b'"' && !self.escaped {
            self.part = match &*self.held {
                b"new" => Some(Change::New),
                b"deleted" => Some(Change::Deleted),
                _ => None,
            };
            self.state = State::Colon;
            return Some(());
        }
        self.escaped = byte == b'\\' && !self.escaped;
        // A key that goes on is none of those that are known.
        if self.held.len() <= KEY {
            self.held.push(byte);
        }
        (byte >= 0x20).then_some(())
    }

    fn object(&mut self, byte: u8, each: &mut dyn FnMut(Change, &[u8])) -> Option<()> {
        if self.held.len() <= MOST {
            self.held.push(byte);
        }
        self.nest(byte)?;
        if self.depth > 0 {
            return Some(());
        }
        self.state = State::AfterObject;
        if self.held.len() > MOST {
            self.long += 1;
        } else {
            each(self.part?, &self.held);
        }
        Some(())
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        if self.depth == 0 && !self.in_text && matches!(byte, b',' | b'}') {
            self.state = if byte == b',' { State::Key(false) } else { State::End };
            return Some(());
        }
        self.nest(byte)
    }

    /// Keeps count of what is open.
    fn nest(&mut self, byte: u8) -> Option<()> {
        if self.in_text {
            self.in_text = self.escaped || byte != b'"';
            self.escaped = byte == b'\\' && !self.escaped;
            return Some(());
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.checked_sub(1)?,
            _ => {}
        }
        (self.depth <= DEPTH).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    type Read = Result<Vec<(Change, Value)>, Error>;

    fn read(text: &str, piece: usize) -> Read {
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        for bytes in text.as_bytes().chunks(piece.max(1)) {
            reader.push(bytes, &mut |part, object| {
                found.push((part, serde_json::from_slice(object).unwrap_or(Value::Null)));
            })?;
        }
        reader.finish().map(|()| found)
    }

    #[test]
    fn an_object_of_somebody_elses_is_no_empty_list() {
        for text in
            ["{}", r#"{"message":"access forbidden"}"#, r#"{"deleted":null}"#, r#"{"new":0}"#, r#"{"x":{"new":[]}}"#]
        {
            assert!(read(text, 4096).is_err(), "{text}");
        }
        for text in [r#"{"new":null}"#, r#"{"deleted":null,"new":null}"#, r#"{"new":[],"deleted":[]}"#] {
            assert_eq!(read(text, 4096), Ok(Vec::new()), "{text}");
        }
    }

    #[test]
    fn both_forms_in_any_order() {
        let (one, two) = (json!({"id": 1, "value": "a}]\"\\"}), json!({"id": 2, "x": [{}, "\\\""]}));
        for text in [
            format!(r#"{{"deleted":[{one}],"new":[{two}]}}"#),
            format!("{{ \"deleted\" : [ {one} ] ,\n\"links\":{{\"next\":[1,\"}}\"]}}, \"new\" : [{two}] }}\n"),
        ] {
            for piece in [1, 2, 7, 4096] {
                let expected = vec![(Change::Deleted, one.clone()), (Change::New, two.clone())];
                assert_eq!(read(&text, piece), Ok(expected), "{text}");
            }
        }
        for text in [r#"{"new":null,"deleted":null}"#, r#"{"deleted":[],"new":[]}"#, r#"{"a":1,"b":"c","new":null}"#] {
            assert_eq!(read(text, 3), Ok(vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "[]",
            "null",
            "<html>",
            r#"{"new":{}}"#,
            r#"{"new":[1]}"#,
            r#"{"new":[null]}"#,
            r#"{"new":nill}"#,
            r#"{"new":[{}],}"#,
            r#"{"new":[{},]}"#,
            r#"{"new":[]"deleted":[]}"#,
            r#"{"new":[]} x"#,
            r#"{"a":}"#,
            r#"{"a":]}"#,
        ] {
            assert!(matches!(read(text, 5), Err(Error::Unexpected(_))), "{text}");
        }
        let deep = format!(r#"{{"a":{}"#, "[".repeat(1000));
        assert!(matches!(read(&deep, 64), Err(Error::Unexpected(_))));
    }

    #[test]
    fn an_answer_that_was_cut_is_none() {
        let whole = r#"{"new":[{"id":1,"value":"203.0.113.1"}],"deleted":null}"#;
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length], 9), Err(Error::Cut), "{length}");
        }
        assert!(read(whole, 9).is_ok());
    }

    #[test]
    fn what_is_too_long_is_passed_over() {
        let long = format!(r#"{{"new":[{{"scenario":"{}"}},{{"id":1}}]}}"#, "x".repeat(10 << 20));
        let (mut reader, mut found) = (Reader::default(), 0);
        reader.push(long.as_bytes(), &mut |_, object| found += object.len()).unwrap();
        assert_eq!((found, reader.long, reader.finish()), (8, 1, Ok(())));
        assert!(reader.held.capacity() <= 2 * MOST, "{}", reader.held.capacity());
    }

    proptest! {
        /// Against serde_json: the objects of both lists, whatever stands beside and in them.
        #[test]
        fn as_serde_json_reads_it(
            keys in Just(["new", "deleted", "other", "newer"]).prop_shuffle(),
            objects in prop::collection::vec(prop::collection::btree_map("[a-z\"\\\\}\\]]{0,4}", any::<String>(), 0..4), 0..5),
            piece in 1usize..40, pretty in any::<bool>(),
        ) {
            let list = Value::from(objects.iter().map(|object| json!(object)).collect::<Vec<_>>());
            let pairs: Vec<String> = keys.iter().map(|key| {
                let text = if pretty { serde_json::to_string_pretty(&list).unwrap() } else { list.to_string() };
                format!("\"{key}\":{text}")
            }).collect();
            let text = format!("{{{}}}", pairs.join(","));
            let mut expected = Vec::new();
            for key in keys {
                let part = match key { "new" => Change::New, "deleted" => Change::Deleted, _ => continue };
                expected.extend(list.as_array().unwrap().iter().map(|object| (part, object.clone())));
            }
            prop_assert_eq!(read(&text, piece), Ok(expected));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reader::default().push(&bytes, &mut |_, _| {});
        }
    }
}
