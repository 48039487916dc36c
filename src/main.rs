//! The diswall program.

fn main() {}
