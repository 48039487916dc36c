//! Reading MessagePack where it lies: a cursor over the bytes of one frame.
//!
//! Nothing is copied, nothing is allocated, nothing recurses, so a hostile frame costs at most one pass
//! over its bytes. It reads the kinds of value that DynFW uses and steps over all the others. Only
//! `wire` calls it. Format: the MessagePack specification, "Formats".

/// What does not follow the format, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The frame ends inside a value.
    Truncated,
    /// The byte 0xc1, which starts no value, at this offset.
    Unused {
        /// Offset in the frame, bytes.
        at: usize,
    },
}

/// One value. Text is not yet checked to be UTF-8; an array or a map is only its length, its members
/// follow in the cursor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An integer that is not negative, of any width.
    Unsigned(u64),
    /// A text, any length form.
    Text(&'a [u8]),
    /// An array of so many values.
    Array(u32),
    /// A map of so many pairs.
    Map(u32),
    /// nil, booleans, negative integers, floats, binary, extensions: skipped, named for an error.
    Other(&'static str),
}

impl Value<'_> {
    /// What kind of value this is, for an error sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Unsigned(_) => "an unsigned integer",
            Value::Text(_) => "a text",
            Value::Array(_) => "an array",
            Value::Map(_) => "a map",
            Value::Other(kind) => kind,
        }
    }
}

/// A place in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `frame`.
    pub fn new(frame: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: frame, total: frame.len() }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next value; of an array or a map only the head.
    pub fn value(&mut self) -> Result<Value<'a>, Broken> {
        let at = self.total - self.rest.len();
        let value = match self.byte()? {
            marker @ 0x00..=0x7f => Value::Unsigned(marker.into()),
            marker @ 0x80..=0x8f => Value::Map(u32::from(marker & 0x0f)),
            marker @ 0x90..=0x9f => Value::Array(u32::from(marker & 0x0f)),
            marker @ 0xa0..=0xbf => Value::Text(self.take(u32::from(marker & 0x1f))?),
            0xc0 => Value::Other("nil"),
            0xc1 => return Err(Broken::Unused { at }),
            0xc2 | 0xc3 => Value::Other("a boolean"),
            marker @ 0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                self.other(length, "binary data")?
            }
            marker @ 0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.byte()?;
                self.other(length, "an extension")?
            }
            0xca => self.other(4, "a float")?,
            0xcb => self.other(8, "a float")?,
            0xcc => Value::Unsigned(self.byte()?.into()),
            0xcd => Value::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Value::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Value::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.array()?)),
            marker @ 0xd4..=0xd8 => self.other(1 + (1 << (marker - 0xd4)), "an extension")?,
            marker @ 0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                Value::Text(self.take(length)?)
            }
            marker @ (0xdc | 0xdd) => Value::Array(self.length(marker - 0xdc + 1)?),
            marker @ (0xde | 0xdf) => Value::Map(self.length(marker - 0xde + 1)?),
            0xe0..=0xff => Value::Other("a negative integer"),
        };
        Ok(value)
    }

    /// Steps over what is left of `value`: the members of an array or a map, however deep.
    pub fn skip(&mut self, value: Value<'a>) -> Result<(), Broken> {
        // A count of values still to come in place of a stack: nesting costs nothing. It cannot
        // overflow, for every head that adds to it takes a byte of a frame far below 4 GiB.
        let mut pending = members(value);
        while pending > 0 {
            pending = pending - 1 + members(self.value()?);
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let (&byte, rest) = self.rest.split_first().ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(length).map_err(|_| Broken::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length of 8, 16 or 32 bits, for `width` 0, 1, 2.
    fn length(&mut self, width: u8) -> Result<u32, Broken> {
        Ok(match width {
            0 => self.byte()?.into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        })
    }

    fn other(&mut self, length: u32, kind: &'static str) -> Result<Value<'a>, Broken> {
        self.take(length)?;
        Ok(Value::Other(kind))
    }
}

/// How many values the members of `value` are.
fn members(value: Value<'_>) -> u64 {
    match value {
        Value::Array(length) => length.into(),
        Value::Map(length) => 2 * u64::from(length),
        _ => 0,
    }
}

/// A signed form may hold a number that is not negative.
fn signed(number: i64) -> Value<'static> {
    u64::try_from(number).map_or(Value::Other("a negative integer"), Value::Unsigned)
}
