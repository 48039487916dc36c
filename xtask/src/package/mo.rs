//! Writes gettext's own message catalogues (`.mo`) from `.po`: sorted tables of texts and their translations,
//! in little-endian numbers. Called by `reforis` for each translation.

use super::lmo::{Message, messages};
use crate::Result;

const MAGIC: u32 = 0x9504_12de;

/// The catalogue's bytes.
pub fn catalogue(po: &str) -> Result<Vec<u8>> {
    let mut pairs = Vec::new();
    messages(po, &mut |message: &Message| {
        let (text, translation) = message.single()?;
        if !translation.is_empty() {
            pairs.push((text, translation));
        }
        Ok(())
    })?;
    pairs.sort();
    let (count, tables) = (pairs.len(), 28);
    let mut texts: Vec<u8> = Vec::new();
    let mut numbers = vec![MAGIC as usize, 0, count, tables, tables + 8 * count, 0, 0];
    let start = tables + 16 * count;
    let place = |text: &String, texts: &mut Vec<u8>| {
        let at = start + texts.len();
        texts.extend_from_slice(text.as_bytes());
        texts.push(0);
        [text.len(), at]
    };
    for (text, _) in &pairs {
        numbers.extend(place(text, &mut texts));
    }
    for (_, translation) in &pairs {
        numbers.extend(place(translation, &mut texts));
    }
    let number = |number: usize| u32::try_from(number).map_err(|_| "a catalogue of more than 4 GB".to_owned());
    let numbers = numbers.into_iter().map(number).collect::<Result<Vec<u32>>>()?;
    Ok(numbers.into_iter().flat_map(u32::to_le_bytes).chain(texts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As gettext's manual lays it out.
    #[test]
    fn a_text_is_found_by_its_place() {
        let made = catalogue(
            "msgid \"\"\nmsgstr \"\"\n\"Language: cs\\n\"\n\nmsgid \"b\"\nmsgstr \"ž\"\nmsgid \"a\"\nmsgstr \"\"\n",
        );
        let made = made.unwrap();
        let number = |at: usize| u32::from_le_bytes(made[at..at + 4].try_into().unwrap()) as usize;
        let text = |at: usize| String::from_utf8(made[number(at + 4)..number(at + 4) + number(at)].to_vec()).unwrap();
        assert_eq!((number(0), number(8)), (MAGIC as usize, 2), "what is not translated is left out");
        let pairs: Vec<_> = (0..2).map(|at| (text(number(12) + 8 * at), text(number(16) + 8 * at))).collect();
        assert_eq!(pairs, [(String::new(), "Language: cs\n".to_owned()), ("b".to_owned(), "ž".to_owned())]);
        assert!(catalogue("msgid \"a\"\nmsgid_plural \"b\"\nmsgstr[0] \"c\"\n").is_err());
    }
}
