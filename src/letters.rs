//! Bytes as letters: base32 and base64.

/// Base32 or base64 without padding: `bits` of the bytes a letter, of which there are two to the power of `bits`.
pub fn encode(bytes: &[u8], letters: &[u8], bits: u32) -> String {
    let (mut text, mut held, mut have) = (String::new(), 0_u32, 0);
    let mut letter = |value: u32| text.push(letters.get(value as usize).copied().unwrap_or(b'?').into());
    for byte in bytes {
        (held, have) = (held << 8 | u32::from(*byte), have + 8);
        while have >= bits {
            have -= bits;
            letter(held >> have & ((1 << bits) - 1));
        }
        held &= (1 << have) - 1;
    }
    if have > 0 {
        letter(held << (bits - have) & ((1 << bits) - 1));
    }
    text
}
