//! The binary container of apk-tools 3, as apk-v3(5) describes it: tagged 32-bit little-endian values in a
//! block of type ADB, followed by the files' data in blocks of type DATA. It writes and knows no schema;
//! `apk` does. Every value is written before the object that holds it.

use std::collections::HashMap;

/// A value's tag: four bits of type, 28 bits of value or of the offset where the value stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value(u32);

impl Value {
    /// Nothing; a field that is not there.
    pub const NULL: Value = Value(0);
}

const INT: u32 = 0x1000_0000;
const INT_32: u32 = 0x2000_0000;
const INT_64: u32 = 0x3000_0000;
const BLOB_8: u32 = 0x8000_0000;
const BLOB_16: u32 = 0x9000_0000;
const BLOB_32: u32 = 0xa000_0000;
const ARRAY: u32 = 0xd000_0000;
const OBJECT: u32 = 0xe000_0000;

const BLOCK_ADB: u32 = 0;
const BLOCK_SIGNATURE: u32 = 1;
const BLOCK_DATA: u32 = 2;

/// An ADB block in the making.
pub struct Writer {
    bytes: Vec<u8>,
    written: HashMap<(Vec<u8>, usize), u32>,
}

impl Writer {
    /// An empty one: the header says version 0, compatible with version 0, and has room for the root.
    pub fn new() -> Writer {
        Writer { bytes: vec![0; 8], written: HashMap::new() }
    }

    /// A number.
    pub fn int(&mut self, number: u64) -> Value {
        match u32::try_from(number) {
            Ok(small) if small < INT => Value(INT | small),
            Ok(middle) => Value(INT_32 | self.data(&middle.to_le_bytes(), 4)),
            Err(_) => Value(INT_64 | self.data(&number.to_le_bytes(), 4)),
        }
    }

    /// Bytes; none at all are the same as no value.
    pub fn blob(&mut self, bytes: &[u8]) -> Value {
        let (kind, data, alignment) = match Writer::sized(bytes) {
            None => return Value::NULL,
            Some(sized) => sized,
        };
        Value(kind | self.data(&data, alignment))
    }

    /// Bytes that are to be changed later: they stand alone, where [`Writer::overwrite`] finds them.
    pub fn own_blob(&mut self, bytes: &[u8]) -> Value {
        match Writer::sized(bytes) {
            None => Value::NULL,
            Some((kind, data, alignment)) => Value(kind | self.append(&data, alignment)),
        }
    }

    /// Puts other bytes of the same length into an [`Writer::own_blob`] of at most 255 bytes.
    pub fn overwrite(&mut self, blob: Value, bytes: &[u8]) {
        let start = (blob.0 & 0x0fff_ffff) as usize + 1;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// An object; `fields` in the order of their numbers, which start at 1. Empty ones are no value.
    pub fn object(&mut self, fields: &[Value]) -> Value {
        self.slots(OBJECT, fields)
    }

    /// An array of values of one kind.
    pub fn array(&mut self, items: &[Value]) -> Value {
        self.slots(ARRAY, items)
    }

    /// Makes `root` the root object.
    pub fn set_root(&mut self, root: Value) {
        self.bytes[4..8].copy_from_slice(&root.0.to_le_bytes());
    }

    /// The block's content so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn sized(bytes: &[u8]) -> Option<(u32, Vec<u8>, usize)> {
        let length = bytes.len() as u32;
        Some(match length {
            0 => return None,
            1..=0xff => (BLOB_8, [&[length as u8], bytes].concat(), 1),
            0x100..=0xffff => (BLOB_16, [&(length as u16).to_le_bytes(), bytes].concat(), 2),
            _ => (BLOB_32, [&length.to_le_bytes(), bytes].concat(), 4),
        })
    }

    fn slots(&mut self, kind: u32, values: &[Value]) -> Value {
        let used = values.iter().rposition(|value| *value != Value::NULL).map_or(0, |last| last + 1);
        if used == 0 {
            return Value::NULL;
        }
        // The first slot is the number of slots, itself included.
        let mut data = (used as u32 + 1).to_le_bytes().to_vec();
        for value in &values[..used] {
            data.extend_from_slice(&value.0.to_le_bytes());
        }
        Value(kind | self.data(&data, 4))
    }

    /// Equal data is written once.
    fn data(&mut self, data: &[u8], alignment: usize) -> u32 {
        if let Some(offset) = self.written.get(&(data.to_vec(), alignment)) {
            return *offset;
        }
        let offset = self.append(data, alignment);
        self.written.insert((data.to_vec(), alignment), offset);
        offset
    }

    fn append(&mut self, data: &[u8], alignment: usize) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(data);
        offset
    }
}

/// A file of this schema with the one ADB block; signatures and data blocks may follow.
pub fn file(schema: &[u8; 4], adb: &Writer) -> Vec<u8> {
    let mut file = [b"ADB.".as_slice(), schema].concat();
    block(&mut file, BLOCK_ADB, &[adb.bytes()]);
    file
}

/// A block with a signature; it follows the ADB block.
pub fn signature(signature: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    block(&mut made, BLOCK_SIGNATURE, &[signature]);
    made
}

/// Adds the content of the `file`th file in the `path`th directory, both counted from 1.
pub fn add_data(to: &mut Vec<u8>, path: u32, file: u32, content: &[u8]) {
    block(to, BLOCK_DATA, &[&path.to_le_bytes(), &file.to_le_bytes(), content]);
}

/// Two bits of type, 30 bits of size (this word included), then padding to eight bytes.
fn block(to: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) {
    let size = 4 + parts.iter().map(|part| part.len()).sum::<usize>() as u32;
    to.extend_from_slice(&(kind << 30 | size).to_le_bytes());
    for part in parts {
        to.extend_from_slice(part);
    }
    to.resize(to.len() + (size.next_multiple_of(8) - size) as usize, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_values_out_as_the_manual_says() {
        let mut adb = Writer::new();
        let name = adb.blob(b"ab");
        let same = adb.blob(b"ab");
        assert_eq!(name, same);
        assert_eq!(name, Value(0x8000_0008));
        assert_eq!(adb.int(7), Value(0x1000_0007));
        assert_eq!(adb.blob(b""), Value::NULL);
        assert_eq!(adb.object(&[Value::NULL, Value::NULL]), Value::NULL);
        let object = adb.object(&[name, Value::NULL]);
        assert_eq!(object, Value(0xe000_000c), "aligned to four after three bytes of blob");
        adb.set_root(object);
        let expected = [[0, 0, 0, 0], [0x0c, 0, 0, 0xe0], [2, b'a', b'b', 0], [2, 0, 0, 0], [8, 0, 0, 0x80]];
        assert_eq!(adb.bytes(), expected.concat());
    }

    #[test]
    fn pads_blocks_to_eight_bytes() {
        let mut file = Vec::new();
        add_data(&mut file, 1, 2, b"x");
        assert_eq!(file, [13, 0, 0, 0x80, 1, 0, 0, 0, 2, 0, 0, 0, b'x', 0, 0, 0]);
    }
}
