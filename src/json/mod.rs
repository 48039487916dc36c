//! JSON text: the language of the control socket, of rpcd, and of NATS' greeting.
//!
//! Whole numbers, booleans, strings, lists, and structs with named fields, and nothing else: that is all
//! that is said there. [`fields!`] teaches a struct both directions for the price of a table of names, where
//! a derived reader and writer for each struct came to 200 KB of the MIPS program. It holds no tree: what
//! nobody asked for is passed over in place. `control`, `feed::nats` and the command line call it.

mod reader;
#[cfg(test)]
mod tests;

pub use reader::{Error, Reader};

use std::fmt::Write as _;

/// A value with a JSON form.
pub trait Json {
    /// Appends the value's text.
    fn write(&self, out: &mut String);

    /// Takes the value that comes next.
    ///
    /// # Errors
    /// It has another type, is out of range, or is no JSON. The value is then only partly changed.
    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error>;

    /// Whether a struct leaves its key out: a field that does not apply is absent.
    fn is_absent(&self) -> bool {
        false
    }

    /// Whether a struct leaves its key out where it is listed as `omit_empty`.
    fn is_empty(&self) -> bool {
        false
    }
}

/// The value's text.
pub fn to_string(value: &dyn Json) -> String {
    let mut out = String::new();
    value.write(&mut out);
    out
}

/// The value of which this is the whole text.
///
/// # Errors
/// As [`Json::read`]'s, and for text behind the value.
pub fn from_str<T: Json + Default>(text: &str) -> Result<T, Error> {
    let mut value = T::default();
    read_into(text, &mut value)?;
    Ok(value)
}

/// The same, over a value that has its defaults already.
///
/// # Errors
/// As [`from_str`]'s.
pub fn read_into(text: &str, value: &mut dyn Json) -> Result<(), Error> {
    let mut from = Reader::new(text);
    value.read(&mut from)?;
    from.end()
}

/// A struct's two directions, by the names of its fields, all of them. Reading leaves a field alone that
/// the text has no key for, and passes over keys that the struct has no field for.
macro_rules! fields {
    ($type:ty { $($field:ident),* $(,)? } $(omit_empty { $($empty:ident),+ $(,)? })?) => {
        impl $crate::json::Json for $type {
            fn write(&self, out: &mut String) {
                let Self { $($field,)* $($($empty,)+)? } = self;
                $crate::json::write_fields(
                    out,
                    &[$((stringify!($field), false),)* $($((stringify!($empty), true),)+)?],
                    &[$($field as &dyn $crate::json::Json,)* $($($empty,)+)?],
                );
            }

            fn read(&mut self, from: &mut $crate::json::Reader<'_>) -> Result<(), $crate::json::Error> {
                let Self { $($field,)* $($($empty,)+)? } = self;
                $crate::json::read_fields(
                    from,
                    &[$(stringify!($field),)* $($(stringify!($empty),)+)?],
                    &mut [$($field as &mut dyn $crate::json::Json,)* $($($empty,)+)?],
                )
            }
        }
    };
}
pub(crate) use fields;

/// An object of these keys, each with whether it is left out when empty, and values. [`fields!`] calls it.
pub fn write_fields(out: &mut String, keys: &[(&str, bool)], values: &[&dyn Json]) {
    let mut before = '{';
    for ((key, omit_empty), value) in keys.iter().zip(values) {
        if value.is_absent() || *omit_empty && value.is_empty() {
            continue;
        }
        out.push(before);
        write_text(out, key);
        out.push(':');
        value.write(out);
        before = ',';
    }
    if before == '{' {
        out.push('{');
    }
    out.push('}');
}

/// Reads an object into the values of these keys. [`fields!`] calls it.
///
/// # Errors
/// As [`Json::read`]'s, with the key in front.
pub fn read_fields(from: &mut Reader<'_>, keys: &[&str], values: &mut [&mut dyn Json]) -> Result<(), Error> {
    from.object(&mut |key, from| match keys.iter().position(|known| *known == key) {
        Some(index) => match values.get_mut(index) {
            Some(value) => value.read(from).map_err(|error| error.within(key)),
            None => from.skip(),
        },
        None => from.skip(),
    })
}

/// A string's text, in quotes.
pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\x20' => {
                // Writing to a String cannot fail; so it is below.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

macro_rules! unsigned {
    ($($type:ty)*) => {$(
        impl Json for $type {
            fn write(&self, out: &mut String) {
                write_number(out, u64::from(*self));
            }

            fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
                // In range: the reader saw to it.
                *self = from.unsigned(u64::from(<$type>::MAX))? as $type;
                Ok(())
            }
        }
    )*};
}

unsigned! { u8 u16 u32 u64 }

fn write_number(out: &mut String, number: u64) {
    let _ = write!(out, "{number}");
}

impl Json for i64 {
    fn write(&self, out: &mut String) {
        if *self < 0 {
            out.push('-');
        }
        write_number(out, self.unsigned_abs());
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        *self = from.signed()?;
        Ok(())
    }
}

impl Json for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        *self = from.boolean()?;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        !*self
    }
}

impl Json for String {
    fn write(&self, out: &mut String) {
        write_text(out, self);
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        *self = from.text()?.into_owned();
        Ok(())
    }
}

impl<T: Json + Default> Json for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        if from.null()? {
            *self = None;
            return Ok(());
        }
        self.insert(T::default()).read(from)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Json + Default> Json for Vec<T> {
    fn write(&self, out: &mut String) {
        out.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            value.write(out);
        }
        out.push(']');
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        self.clear();
        from.array(&mut |from| {
            let mut value = T::default();
            value.read(from)?;
            self.push(value);
            Ok(())
        })
    }

    fn is_empty(&self) -> bool {
        <[T]>::is_empty(self)
    }
}
