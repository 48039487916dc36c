//! Options: how what an owner writes becomes what a part goes by, whichever part that is.
//!
//! `uci` is the syntax, `value` reads one value, `section` reads a section by a part's own table of options,
//! `problem` holds what is wrong. All of it is pure, and imports neither the configuration nor a feed: both
//! import it, each for the sections that are its own.

pub mod problem;
pub mod section;
pub mod uci;
pub mod value;

pub use problem::{Problem, Problems, Severity};
pub use section::{
    Checks, Form, Given, LeftOut, Many, Opt, Reader, SectionType, Single, list, one, one_or_none, secret, texts,
};
