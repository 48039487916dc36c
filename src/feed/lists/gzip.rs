//! Unpacks gzip (RFC 1952) as it comes: any number of members behind one another, lengths and checksums checked.
//!
//! It holds the window of 32 KiB and the tables of the code; a byte that goes in comes out as at most 1,032.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, TINFL_LZ_DICT_SIZE, decompress, inflate_flags};

use crate::whole_file::Crc;

/// What every member begins with.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// It is no gzip, or what came out is not what went in.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged;

/// Where in a member the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So many of the ten fixed bytes have been seen.
    Fixed(u8),
    /// The length of the extra field, low byte first.
    ExtraLow,
    ExtraHigh(u8),
    /// So many bytes of it are left.
    Extra(u16),
    /// The name or the comment, up to a zero.
    Text,
    /// So many bytes of the head's checksum are left.
    HeadSum(u8),
    Body,
    /// So many of the last eight bytes have been seen, and what they say.
    Tail(u8, u64),
    /// A member is over: another may follow, or zeros.
    Between,
}

const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const HEAD_SUM: u8 = 2;
/// Bits that no one has given a meaning.
const RESERVED: u8 = 0xe0;

/// A packed body, as far as it has come.
pub struct Gunzip {
    inflate: Box<DecompressorOxide>,
    window: Box<[u8]>,
    /// Where in the window the next byte goes.
    at: usize,
    stage: Stage,
    /// Fields that the head still has.
    fields: u8,
    /// Of what has come out of this member: its checksum and its length.
    sum: Crc,
    length: u32,
}

impl Gunzip {
    /// Before the first byte.
    pub fn new() -> Gunzip {
        Gunzip {
            inflate: Box::default(),
            window: vec![0; TINFL_LZ_DICT_SIZE].into_boxed_slice(),
            at: 0,
            stage: Stage::Fixed(0),
            fields: 0,
            sum: Crc::new(),
            length: 0,
        }
    }

    /// Takes what comes next; `out` gets what is in it, and says whether more is wanted.
    ///
    /// # Errors
    /// It cannot be unpacked; what came out before has been given out.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Damaged> {
        loop {
            if self.stage == Stage::Body {
                match self.body(&mut bytes, out)? {
                    true => continue,
                    false => return Ok(()),
                }
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.frame(byte)?;
        }
    }

    /// Whether it may end here.
    pub fn is_whole(&self) -> bool {
        self.stage == Stage::Between
    }

    /// Unpacks; `false`: there is no more to do with these bytes.
    fn body(&mut self, bytes: &mut &[u8], out: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Damaged> {
        let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
        let (status, taken, made) = decompress(&mut self.inflate, bytes, &mut self.window, self.at, flags);
        *bytes = bytes.get(taken..).unwrap_or_default();
        let fresh = self.window.get(self.at..self.at + made).unwrap_or_default();
        self.sum.add(fresh);
        self.length = self.length.wrapping_add(made as u32);
        self.at = (self.at + made) % TINFL_LZ_DICT_SIZE;
        if made > 0 && !out(fresh) {
            return Ok(false);
        }
        match status {
            TINFLStatus::Done => self.stage = Stage::Tail(0, 0),
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput if bytes.is_empty() => return Ok(false),
            _ => return Err(Damaged),
        }
        Ok(true)
    }

    /// A byte around the packed data.
    fn frame(&mut self, byte: u8) -> Result<(), Damaged> {
        self.stage = match self.stage {
            Stage::Fixed(seen) => {
                match seen {
                    0 | 1 if MAGIC.get(usize::from(seen)) != Some(&byte) => return Err(Damaged),
                    2 if byte != 8 => return Err(Damaged),
                    3 if byte & RESERVED != 0 => return Err(Damaged),
                    3 => self.fields = byte,
                    _ => {}
                }
                if seen < 9 { Stage::Fixed(seen + 1) } else { self.next_field() }
            }
            Stage::ExtraLow => Stage::ExtraHigh(byte),
            Stage::ExtraHigh(low) => match u16::from_le_bytes([low, byte]) {
                0 => self.next_field(),
                length => Stage::Extra(length),
            },
            Stage::Extra(left) if left > 1 => Stage::Extra(left - 1),
            Stage::Text if byte != 0 => Stage::Text,
            Stage::HeadSum(left) if left > 1 => Stage::HeadSum(left - 1),
            Stage::Extra(_) | Stage::Text | Stage::HeadSum(_) | Stage::Body => self.next_field(),
            Stage::Tail(seen, said) => {
                let said = said | u64::from(byte) << (8 * seen);
                match seen {
                    0..7 => Stage::Tail(seen + 1, said),
                    _ if said == u64::from(self.sum.value()) | u64::from(self.length) << 32 => Stage::Between,
                    _ => return Err(Damaged),
                }
            }
            // Some programs fill up with zeros.
            Stage::Between if byte == 0 => Stage::Between,
            Stage::Between => {
                self.stage = Stage::Fixed(0);
                return self.frame(byte);
            }
        };
        Ok(())
    }

    /// What of the head comes next; behind all of it the packed data.
    fn next_field(&mut self) -> Stage {
        for (field, stage) in
            [(EXTRA, Stage::ExtraLow), (NAME, Stage::Text), (COMMENT, Stage::Text), (HEAD_SUM, Stage::HeadSum(2))]
        {
            if self.fields & field != 0 {
                self.fields &= !field;
                return stage;
            }
        }
        self.inflate.init();
        (self.at, self.sum, self.length) = (0, Crc::new(), 0);
        Stage::Body
    }
}
