//! `cargo xtask bench --counts`: the instructions and the memory of each piece of the daemon's work, beside the table in
//! docs/counts.md. callgrind counts them, so that they are the same however busy the machine is.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::command::{cargo, command, output, run};
use crate::files::{make_directory, read_text, write};
use crate::{Result, setup};

/// The table that is kept.
const TABLE: &str = "docs/counts.md";

/// Growth in percent that is said, and that is refused.
const SAID: u64 = 3;
const REFUSED: u64 = 10;

/// Bytes by which anything may grow: a few of them are no matter.
const FEW: u64 = 512;

/// The function whose calls are counted, one piece each (`counts/src/main.rs`).
const FUNCTION: &str = "counts::measured_piece";

const HEAD: &str = "\
# What the daemon's work costs

Made by `cargo xtask bench --counts --write`; `cargo xtask test` counts anew, says what grew by more than 3 %, and refuses
what grew by more than 10 % without a new table. Instructions are callgrind's, of a build as for routers but for
x86-64 and without link-time optimization, library calls with them and the kernel's work without; memory is the most
that a piece asks for beyond what was there before it. The pieces are in `counts/src/main.rs`.

";

/// One piece of work.
#[derive(Clone, Debug, PartialEq)]
struct Count {
    name: String,
    instructions: u64,
    /// Bytes.
    memory: u64,
}

/// Counts and compares; `--write` in place of comparing puts a new table down.
pub fn counts(args: &[String]) -> Result<()> {
    let writes = match args {
        [] => false,
        [option] if option == "--write" => true,
        _ => return Err(format!("bench --counts takes --write, and was given {args:?}")),
    };
    let (counted, made_by) = (count()?, made_by()?);
    if writes {
        return write(Path::new(TABLE), text(&counted, &made_by));
    }
    let kept = read_text(Path::new(TABLE))?;
    let same_tools = kept.lines().any(|line| line == made_by);
    if !same_tools {
        println!("Not the tools that {TABLE} was made with ({made_by}): what grew is said, and not refused.");
    }
    let (grown, refused) = compare(&parse(&kept), &counted);
    grown.iter().for_each(|line| println!("{line}"));
    println!("{} pieces of work counted, {} grew by more than {SAID} %.", counted.len(), grown.len());
    if refused && same_tools {
        return Err(format!("more than {REFUSED} %: mend it, or say why and run cargo xtask bench --counts --write"));
    }
    Ok(())
}

/// Builds the pieces and runs them under callgrind.
fn count() -> Result<Vec<Count>> {
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
    let printed = output(valgrind.stderr(Stdio::piped()))?;
    let lines = printed.lines().filter_map(|line| line.split_once(' '));
    (1..)
        .zip(lines)
        .map(|(number, (memory, name))| {
            let dump = read_text(&place.join(format!("out.{number}")))?;
            let total = dump.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
            let instructions = total.ok_or_else(|| format!("callgrind says nothing of {name}"))?;
            let memory = memory.parse().map_err(|_| format!("counts printed {memory:?}"))?;
            Ok(Count { name: name.to_owned(), instructions, memory })
        })
        .collect()
}

/// The tools on which counts depend, as a line of the table's file.
fn made_by() -> Result<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let (rustc, valgrind) = (output(&mut command(&rustc, &["-V"]))?, output(&mut command("valgrind", &["--version"]))?);
    let libc = output(&mut command("getconf", &["GNU_LIBC_VERSION"]))?;
    Ok(format!("Counted with {}, {}, {}, {}.", rustc.trim(), valgrind.trim(), libc.trim(), std::env::consts::ARCH))
}

fn text(counts: &[Count], made_by: &str) -> String {
    let mut text = format!("{HEAD}{made_by}\n\n| work | instructions | bytes of memory |\n| --- | ---: | ---: |\n");
    for Count { name, instructions, memory } in counts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {} | {} |", grouped(*instructions), grouped(*memory));
    }
    text
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn parse(text: &str) -> Vec<Count> {
    let number = |cell: &str| cell.replace(',', "").parse::<u64>().ok();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter_map(|row| match row.split(" | ").collect::<Vec<_>>()[..] {
        [name, instructions, memory] => {
            Some(Count { name: name.to_owned(), instructions: number(instructions)?, memory: number(memory)? })
        }
        _ => None,
    })
    .collect()
}

/// A line for all that grew, or is not in the table, or is in it alone; and whether any of it is refused.
fn compare(kept: &[Count], counted: &[Count]) -> (Vec<String>, bool) {
    let (mut lines, mut refused) = (Vec::new(), false);
    for new in counted {
        let Some(old) = kept.iter().find(|old| old.name == new.name) else {
            lines.push(format!("{}: not in the table", new.name));
            refused = true;
            continue;
        };
        let pairs = [("instructions", old.instructions, new.instructions, 0), ("bytes", old.memory, new.memory, FEW)];
        for (what, before, now, few) in pairs {
            let above = |percent: u64| now * 100 > before * (100 + percent) && now > before + few;
            if above(SAID) {
                let percent = (now as f64 / before.max(1) as f64 - 1.0) * 100.0;
                let (name, now, before) = (&new.name, grouped(now), grouped(before));
                lines.push(format!("{name}: {now} {what}, {before} before: {percent:+.1} %"));
                refused |= above(REFUSED);
            }
        }
    }
    for old in kept.iter().filter(|old| !counted.iter().any(|new| new.name == old.name)) {
        lines.push(format!("{}: in the table, and not counted any more", old.name));
        refused = true;
    }
    (lines, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, instructions: u64, memory: u64) -> Count {
        Count { name: name.to_owned(), instructions, memory }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let counts = [count("a list", 12_345_678, 0), count("a page", 999, 1000)];
        let text = text(&counts, "by nobody");
        assert!(text.contains("| a list | 12,345,678 | 0 |\n| a page | 999 | 1,000 |\n"), "{text}");
        assert_eq!(parse(&text), counts);
    }

    #[test]
    fn growth_is_said_and_much_of_it_refused() {
        let kept = [count("a", 1000, 10_000), count("b", 1000, 0)];
        let compared = |a: u64, memory| compare(&kept, &[count("a", a, memory), count("b", 1000, 500)]);
        assert_eq!(compared(1030, 10_300), (vec![], false));
        assert_eq!(compared(900, 9000), (vec![], false));
        let (lines, refused) = compared(1031, 10_000);
        assert_eq!((&lines[..], refused), (&["a: 1,031 instructions, 1,000 before: +3.1 %".to_owned()][..], false));
        assert!(compared(1101, 10_000).1);
        assert!(compared(1000, 11_001).1);
        assert_eq!(compare(&kept, &kept[..1]), (vec!["b: in the table, and not counted any more".to_owned()], true));
        assert_eq!(compare(&kept[..1], &kept), (vec!["b: not in the table".to_owned()], true));
    }
}
