//! Texts that go with the single addresses of a list: why each is on it, or which name stands for it.
//!
//! A list has few texts and many addresses, so a text is kept once, and an address has its number: one byte while
//! there are at most 255 texts, else two. Lists without texts pay nothing.

/// Most texts that a list may have. Addresses with further ones have none.
pub const TEXTS: usize = 255;

/// The texts, numbered from 1, while a list is read.
#[derive(Debug, Default)]
pub struct Texts {
    all: Vec<Box<str>>,
    /// Their places in `all`, by text.
    sorted: Vec<u16>,
    most: usize,
}

impl Texts {
    /// None yet, and at most so many.
    pub fn new(most: usize) -> Texts {
        Texts { most: most.min(usize::from(u16::MAX)), ..Texts::default() }
    }

    /// The number of a text; zero for an empty one, and for one for which there is no room.
    pub fn number(&mut self, text: &str) -> u16 {
        if text.is_empty() {
            return 0;
        }
        let place = |at: &u16| self.all.get(usize::from(*at)).map_or("", |text| text);
        match self.sorted.binary_search_by(|at| place(at).cmp(text)) {
            Ok(at) => self.sorted.get(at).map_or(0, |place| place + 1),
            Err(_) if self.all.len() >= self.most => 0,
            Err(at) => {
                // `most` fits in 16 bits.
                self.sorted.insert(at, self.all.len() as u16);
                self.all.push(text.into());
                self.all.len() as u16
            }
        }
    }

    /// In the order of their numbers.
    pub fn finish(self) -> Box<[Box<str>]> {
        self.all.into()
    }
}

/// A number for each address, in the addresses' order; none at all where no address has a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Up to 255.
    Narrow(Box<[u8]>),
    /// Above.
    Wide(Box<[u16]>),
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers::Narrow(Box::default())
    }
}

impl Numbers {
    /// As narrow as they can be.
    pub fn pack(numbers: &[u16]) -> Numbers {
        match numbers.iter().all(|number| *number <= u16::from(u8::MAX)) {
            true => Numbers::Narrow(numbers.iter().map(|number| *number as u8).collect()),
            false => Numbers::Wide(numbers.into()),
        }
    }

    /// That of an address; zero: it has none.
    pub fn get(&self, at: usize) -> u16 {
        match self {
            Numbers::Narrow(numbers) => numbers.get(at).copied().unwrap_or(0).into(),
            Numbers::Wide(numbers) => numbers.get(at).copied().unwrap_or(0),
        }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        match self {
            Numbers::Narrow(numbers) => numbers.len(),
            Numbers::Wide(numbers) => 2 * numbers.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbered_once_and_only_so_many() {
        let mut texts = Texts::new(TEXTS);
        assert_eq!(["", "ssh", "haas", "ssh", "haas"].map(|text| texts.number(text)), [0, 1, 2, 1, 2]);
        for n in 3..=300 {
            let number = texts.number(&format!("tag{n}"));
            assert_eq!(number, if n <= 255 { n } else { 0 });
        }
        assert_eq!((texts.number("ssh"), texts.number("tag255"), texts.number("tag256")), (1, 255, 0));
        let all = texts.finish();
        assert_eq!((all.len(), &*all[0], &*all[254]), (255, "ssh", "tag255"));
    }

    #[test]
    fn numbers_take_a_byte_as_long_as_they_can() {
        for (numbers, bytes) in [(&[][..], 0), (&[0, 255, 3], 3), (&[1, 256], 4)] {
            let packed = Numbers::pack(numbers);
            assert_eq!(packed.bytes(), bytes);
            assert!(numbers.iter().enumerate().all(|(at, number)| packed.get(at) == *number));
            assert_eq!(packed.get(numbers.len()), 0);
        }
    }
}
