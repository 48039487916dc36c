//! `cargo xtask bench --counts`: the instructions and the memory of each piece of the daemon's work, beside the tables
//! in docs/counts.md. callgrind counts them, and on MIPS qemu, so that they are the same however busy the machine is.

mod mips;
mod table;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use self::table::{Count, REFUSED, SAID, Table};
use crate::command::{cargo, command, output, run};
use crate::files::{make_directory, read_text, write};
use crate::package::targets::Target;
use crate::{Result, setup};

/// The tables that are kept.
const TABLES: &str = "docs/counts.md";

/// The function whose calls are counted, one piece each (`counts/src/main.rs`).
const FUNCTION: &str = "counts::measured_piece";

/// What the arguments ask for.
struct Wanted {
    /// A new table in place of comparing.
    writes: bool,
    /// For which routers; none: this machine.
    routers: Vec<&'static Target>,
}

/// Counts and compares; `--write` in place of comparing puts new tables down.
pub fn counts(args: &[String]) -> Result<()> {
    let wanted = wanted(args)?;
    let counted: Result<Vec<Table>> = match &wanted.routers[..] {
        [] => here().map(|table| vec![table]),
        routers => routers.iter().map(|target| mips::count(target)).collect(),
    };
    let (counted, mut kept) = (counted?, table::parse(&read_text(Path::new(TABLES))?));
    if wanted.writes {
        counted.into_iter().for_each(|new| table::replace(&mut kept, new));
        return write(Path::new(TABLES), table::text(&kept));
    }
    let mut refused = false;
    for new in &counted {
        let old = kept.iter().find(|old| old.processor == new.processor);
        refused |= is_refused(old.unwrap_or(&Table::default()), new);
    }
    if refused {
        let again = args.join(" ");
        return Err(format!(
            "more than {REFUSED} %: mend it, or say why and run cargo xtask bench --counts {again} --write"
        ));
    }
    Ok(())
}

fn wanted(args: &[String]) -> Result<Wanted> {
    let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
    let writes = words.pop_if(|word| *word == "--write").is_some();
    let routers = match &words[..] {
        [] => Vec::new(),
        ["--mips", names @ ..] => mips::chosen(names)?,
        _ => return Err(format!("bench --counts takes --mips [ARCH]… and --write, and was given {args:?}")),
    };
    Ok(Wanted { writes, routers })
}

/// Says what grew; whether it is too much, by the same tools.
fn is_refused(old: &Table, new: &Table) -> bool {
    println!("== {}", new.processor);
    let same_tools = old.tools == new.tools;
    if !same_tools {
        println!("Not the tools that {TABLES} was made with ({}): what grew is said, and not refused.", new.tools);
    }
    let (grown, refused) = table::compare(&old.counts, &new.counts);
    grown.iter().for_each(|line| println!("{line}"));
    println!("{} pieces of work counted, {} grew by more than {SAID} %.", new.counts.len(), grown.len());
    refused && same_tools
}

/// Builds the pieces and runs them under callgrind.
fn here() -> Result<Table> {
    setup::ensure(&[setup::BUILD, setup::COUNT])?;
    run(&mut cargo(&["build", "--quiet", "--profile", "counts", "--package", "counts"]))?;
    let place = Path::new("target/callgrind");
    let _ = fs::remove_dir_all(place);
    make_directory(place)?;
    let out = format!("--callgrind-out-file={}/out", place.display());
    let (toggle, dump) = (format!("--toggle-collect={FUNCTION}"), format!("--dump-after={FUNCTION}"));
    let options = ["--tool=callgrind", "--collect-atstart=no", &toggle, &dump, &out, "--", "target/counts/counts"];
    let mut valgrind = command("valgrind", &options);
    // The C library has variants of memcpy and the like for each processor: these every one has.
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2");
    let pieces = printed(&output(valgrind.stderr(Stdio::piped()))?)?;
    let instructions = (1..=pieces.len()).map(|number| {
        let dump = read_text(&place.join(format!("out.{number}")))?;
        let total = dump.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        total.ok_or_else(|| format!("callgrind says nothing of piece {number}"))
    });
    let instructions: Result<Vec<u64>> = instructions.collect();
    Ok(Table { processor: std::env::consts::ARCH.to_owned(), tools: tools()?, counts: joined(pieces, instructions?)? })
}

/// What the pieces' program printed: the bytes and the name of each.
fn printed(text: &str) -> Result<Vec<(u64, String)>> {
    let lines = text.lines().map(|line| {
        let (memory, name) = line.split_once(' ')?;
        Some((memory.parse().ok()?, name.to_owned()))
    });
    lines.collect::<Option<_>>().ok_or_else(|| format!("counts printed something else than bytes and names:\n{text}"))
}

/// The pieces with their instructions, of which there must be as many.
fn joined(pieces: Vec<(u64, String)>, instructions: Vec<u64>) -> Result<Vec<Count>> {
    if pieces.len() != instructions.len() {
        return Err(format!("{} pieces of work, and {} were counted", pieces.len(), instructions.len()));
    }
    let both = pieces.into_iter().zip(instructions);
    Ok(both.map(|((memory, name), instructions)| Count { name, instructions, memory }).collect())
}

/// The tools on which counts depend.
fn tools() -> Result<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let (rustc, valgrind) = (output(&mut command(&rustc, &["-V"]))?, output(&mut command("valgrind", &["--version"]))?);
    let libc = output(&mut command("getconf", &["GNU_LIBC_VERSION"]))?;
    Ok(format!("{}, {}, {}, {}", rustc.trim(), valgrind.trim(), libc.trim(), std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &[&str]) -> Result<(bool, Vec<&'static str>)> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        wanted(&args).map(|wanted| (wanted.writes, wanted.routers.iter().map(|target| target.arch).collect()))
    }

    #[test]
    fn arguments_choose_processors_and_writing() {
        assert_eq!(asked(&[]), Ok((false, vec![])));
        assert_eq!(asked(&["--write"]), Ok((true, vec![])));
        assert_eq!(asked(&["--mips"]), Ok((false, vec!["mipsel_24kc", "mips_24kc"])));
        assert_eq!(asked(&["--mips", "mips_24kc", "--write"]), Ok((true, vec!["mips_24kc"])));
        for wrong in [&["--write", "--mips"][..], &["--mips", "x86_64"], &["--mips", "riscv"], &["mips_24kc"]] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_piece_needs_its_count() {
        let pieces = printed("0 a list\n12 a page of it\n");
        let pieces = pieces.unwrap_or_default();
        assert_eq!(pieces, [(0, "a list".to_owned()), (12, "a page of it".to_owned())]);
        assert_eq!(joined(pieces.clone(), vec![7, 8]).map(|counts| counts[1].instructions), Ok(8));
        assert!(joined(pieces, vec![7]).is_err());
        assert!(printed("a list\n").is_err());
    }
}
