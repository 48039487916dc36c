//! The diswall program. Everything it does is in the library, so that tests and fuzzers reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    diswall::cli::main()
}
