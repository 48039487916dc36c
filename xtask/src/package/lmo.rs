//! Writes LuCI's message catalogues (`.lmo`) from gettext's `.po`, byte for byte as LuCI's own `po2lmo`
//! does: the texts, each padded to four bytes; an index of hashes, sorted; and the place of the index. All
//! numbers are big-endian. Called by `recipe` for each translation.

use crate::Result;

/// The catalogue's bytes; none where nothing is translated.
pub fn catalogue(po: &str) -> Result<Vec<u8>> {
    let mut writer = Writer::default();
    messages(po, &mut |message| writer.add(message))?;
    Ok(writer.finish())
}

/// Reads a `.po`; each message is handed on.
pub fn messages(po: &str, each: &mut dyn FnMut(&Message) -> Result<()>) -> Result<()> {
    let mut message = Message::default();
    let mut field = None;
    for (number, line) in (1..).zip(po.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, rest) = line.split_at(line.find('"').ok_or_else(|| format!("line {number}: no text in {line}"))?);
        let starts = |keyword: &str| keyword == "msgctxt" || keyword == "msgid";
        let keyword = keyword.trim_end();
        // A message ends where the next one starts; its context comes before its text.
        if starts(keyword) && !message.texts.is_empty() {
            each(&std::mem::take(&mut message))?;
        }
        if !keyword.is_empty() {
            field = Some(Field::named(keyword).ok_or_else(|| format!("line {number}: what is {keyword}?"))?);
        }
        let text = unquoted(rest).ok_or_else(|| format!("line {number}: an open quote in {line}"))?;
        match field {
            Some(Field::Context) => message.context.get_or_insert_default().push_str(&text),
            Some(Field::Text) => message.text.push_str(&text),
            Some(Field::Plural) => message.has_plural = true,
            Some(Field::Translation(form)) => {
                message.texts.resize(message.texts.len().max(form + 1), String::new());
                message.texts[form].push_str(&text);
            }
            None => return Err(format!("line {number}: a text of nothing")),
        }
    }
    each(&message)
}

#[derive(Clone, Copy)]
enum Field {
    Context,
    Text,
    Plural,
    Translation(usize),
}

impl Field {
    fn named(keyword: &str) -> Option<Field> {
        Some(match keyword {
            "msgctxt" => Field::Context,
            "msgid" => Field::Text,
            "msgid_plural" => Field::Plural,
            "msgstr" => Field::Translation(0),
            _ => {
                let form = keyword.strip_prefix("msgstr[")?.strip_suffix(']')?.parse().ok()?;
                Field::Translation(form).in_range()?
            }
        })
    }

    /// LuCI knows ten plural forms at most.
    fn in_range(self) -> Option<Field> {
        (!matches!(self, Field::Translation(form) if form >= 10)).then_some(self)
    }
}

/// A text and what it is in the other language.
#[derive(Default)]
pub struct Message {
    context: Option<String>,
    text: String,
    has_plural: bool,
    /// The translation, or one for each plural form; empty where there is none.
    texts: Vec<String>,
}

impl Message {
    /// Text and translation of a message without plural forms, with their line ends.
    pub fn single(&self) -> Result<(String, String)> {
        if self.has_plural || self.context.is_some() {
            return Err(format!("plural forms or a context, which are not provided for: {}", self.text));
        }
        let whole = |text: &str| text.replace("\\n", "\n");
        Ok((whole(&self.text), self.texts.first().map(|text| whole(text)).unwrap_or_default()))
    }

    /// What a page asks for, for the plural form.
    fn key(&self, form: usize) -> String {
        let context = self.context.as_deref().map(|context| format!("{context}\u{1}")).unwrap_or_default();
        let plural = if self.has_plural { format!("\u{2}{form}") } else { String::new() };
        format!("{context}{}{plural}", self.text)
    }
}

/// The text between the quotes. Quotes and backslashes lose their backslash, other escapes stay as they are:
/// LuCI looks them up like that.
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = quoted.strip_prefix('"')?.chars();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => match rest.next()? {
                plain @ ('"' | '\\') => text.push(plain),
                other => text.extend(['\\', other]),
            },
            plain => text.push(plain),
        }
    }
}

#[derive(Default)]
struct Writer {
    texts: Vec<u8>,
    /// Hash of the key, number of plural forms, offset and length of the text.
    index: Vec<[u32; 4]>,
}

impl Writer {
    fn add(&mut self, message: &Message) -> Result<()> {
        if message.text.is_empty() {
            // The head of the file: only the rule for plurals is of use.
            let head = message.texts.first().map(String::as_str).unwrap_or_default();
            let rule = head.split("\\n").find_map(|line| line.strip_prefix("Plural-Forms: "));
            return rule.map_or(Ok(()), |rule| self.put(0, 0, rule));
        }
        // Without the first form the others do not count.
        if message.texts.first().is_none_or(String::is_empty) {
            return Ok(());
        }
        for (form, text) in message.texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let key = hash(message.key(form).as_bytes());
            // A text that stays as it is needs no entry.
            if key != hash(text.as_bytes()) {
                self.put(key, message.texts.len() as u32, text)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: u32, forms: u32, text: &str) -> Result<()> {
        let number = |size: usize| u32::try_from(size).map_err(|_| "a catalogue of more than 4 GB".to_owned());
        self.index.push([key, forms, number(self.texts.len())?, number(text.len())?]);
        self.texts.extend_from_slice(text.as_bytes());
        self.texts.resize(self.texts.len().next_multiple_of(4), 0);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        if self.texts.is_empty() {
            return Vec::new();
        }
        self.index.sort_by_key(|entry| entry[0]);
        let place = self.texts.len() as u32;
        let numbers = self.index.iter().flatten().copied().chain([place]);
        let numbers: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
        [self.texts, numbers].concat()
    }
}

/// Paul Hsieh's "SuperFastHash", started with the length, as LuCI's pages and server have it too.
fn hash(data: &[u8]) -> u32 {
    let half = |pair: &[u8]| u32::from(u16::from_le_bytes([pair[0], pair[1]]));
    // The odd byte counts with its sign.
    let signed = |byte: u8| i32::from(byte as i8) as u32;
    let mut sum = data.len() as u32;
    if sum == 0 {
        return 0;
    }
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        sum = sum.wrapping_add(half(&word[..2]));
        sum = sum << 16 ^ half(&word[2..]) << 11 ^ sum;
        sum = sum.wrapping_add(sum >> 11);
    }
    let mix = |sum: u32, left: u32, right: u32| {
        let sum = sum ^ sum << left;
        sum.wrapping_add(sum >> right)
    };
    match *words.remainder() {
        [a, b, c] => {
            sum = sum.wrapping_add(half(&[a, b]));
            sum ^= sum << 16;
            sum ^= signed(c) << 18;
            sum = sum.wrapping_add(sum >> 11);
        }
        [a, b] => sum = mix(sum.wrapping_add(half(&[a, b])), 11, 17),
        [a] => sum = mix(sum.wrapping_add(signed(a)), 10, 1),
        _ => {}
    }
    [(3, 5), (4, 17), (25, 6)].into_iter().fold(sum, |sum, (left, right)| mix(sum, left, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as LuCI's own reader would find them: hash, forms, text.
    fn entries(catalogue: &[u8]) -> Vec<(u32, u32, String)> {
        let number = |at: usize| u32::from_be_bytes(catalogue[at..at + 4].try_into().unwrap());
        let (start, end) = (number(catalogue.len() - 4) as usize, catalogue.len() - 4);
        let entry = |at: usize| {
            let (offset, length) = (number(at + 8) as usize, number(at + 12) as usize);
            let text = String::from_utf8(catalogue[offset..offset + length].to_vec()).unwrap();
            (number(at), number(at + 4), text)
        };
        (start..end).step_by(16).map(entry).collect()
    }

    #[test]
    fn a_page_finds_its_texts() {
        let po = "msgid \"\"\nmsgstr \"\"\n\"Language: cs\\n\"\n\"Plural-Forms: nplurals=3; plural=(n==1) ? 0 : 1;\\n\"\n\n\
                  #: a.js\nmsgid \"Allow\"\nmsgstr \"Povolit\"\n\n#, fuzzy\nmsgctxt \"verb\"\nmsgid \"\"\n\"Bl\"\n\"ock\"\n\
                  msgstr \"Říci \\\"ne\\\"\\n\"\n\nmsgid \"%s host\"\nmsgid_plural \"%s hosts\"\nmsgstr[0] \"%s stroj\"\n\
                  msgstr[1] \"%s stroje\"\nmsgstr[2] \"%s strojů\"\n\nmsgid \"same\"\nmsgstr \"same\"\nmsgid \"none\"\nmsgstr \"\"\n";
        let made = catalogue(po).unwrap();
        let found = entries(&made);
        let text = |key: &str| found.iter().find(|entry| entry.0 == hash(key.as_bytes()));
        assert_eq!(text("Allow").unwrap().2, "Povolit");
        assert_eq!(text("verb\u{1}Block").unwrap().2, "Říci \"ne\"\\n");
        assert_eq!(text("%s host\u{2}2"), Some(&(hash(b"%s host\x022"), 3, "%s strojů".to_owned())));
        assert_eq!(found[0], (0, 0, "nplurals=3; plural=(n==1) ? 0 : 1;".to_owned()));
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found.is_sorted_by_key(|entry| entry.0), "the reader looks by halves");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (po, told) in [
            ("msgid \"a\"\nmsgstr \"b\n", "line 2: an open quote"),
            ("\"a\"\n", "line 1: a text of nothing"),
            ("msgid \"a\"\nmsgstr[10] \"b\"\n", "line 2: what is msgstr[10]"),
            ("nonsense\n", "line 1: no text"),
        ] {
            assert!(catalogue(po).unwrap_err().contains(told), "{po}: {:?}", catalogue(po));
        }
        assert_eq!(catalogue("").unwrap(), b"");
    }
}
