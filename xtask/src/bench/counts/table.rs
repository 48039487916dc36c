//! docs/counts.md: a table for each kind of processor, read, written and compared with what was counted.

use std::fmt::Write as _;

/// Growth in percent that is said, and that is refused.
pub const SAID: u64 = 3;
pub const REFUSED: u64 = 10;

/// Bytes by which anything may grow: a few of them are no matter.
const FEW: u64 = 512;

/// How a table's heading, and the line of what it was counted with, begin.
const HEADING: &str = "## On ";
const TOOLS: &str = "Counted with ";

const HEAD: &str = "\
# What the daemon's work costs

Made by `cargo xtask bench --counts --write`, and for MIPS with `--mips` besides; `cargo xtask test` counts anew, says
what grew by more than 3 %, and refuses what grew by more than 10 % without a new table. Instructions are callgrind's,
on MIPS those that qemu runs in user mode (`xtask/src/bench/counts/count.c`), the same at every run; of a build as for
routers but without link-time optimization, library calls with them and the kernel's work without. Memory is the most
that a piece asks for beyond what was there before it. The pieces are in `counts/src/main.rs`.

Of the two MIPS, `cargo xtask test` counts mips_24kc alone: each has the standard library, the crates and diswall built
for it, which takes two minutes. Each crate is compiled in one part: in 16, what lands in which part, and with it what is
made one function, moved with code elsewhere, by 12 % once.
";

/// One piece of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    pub name: String,
    pub instructions: u64,
    /// Bytes.
    pub memory: u64,
}

/// What the pieces cost on one kind of processor.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Table {
    pub processor: String,
    /// What counts depend on.
    pub tools: String,
    pub counts: Vec<Count>,
}

/// Every table of the file.
pub fn parse(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(processor) = line.strip_prefix(HEADING) {
            tables.push(Table { processor: processor.to_owned(), ..Table::default() });
            continue;
        }
        let Some(table) = tables.last_mut() else { continue };
        if let Some(tools) = line.strip_prefix(TOOLS).and_then(|line| line.strip_suffix('.')) {
            tools.clone_into(&mut table.tools);
        }
        table.counts.extend(row(line));
    }
    tables
}

fn row(line: &str) -> Option<Count> {
    let number = |cell: &str| cell.replace(',', "").parse::<u64>().ok();
    match line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect::<Vec<_>>()[..] {
        [name, instructions, memory] => {
            Some(Count { name: name.to_owned(), instructions: number(instructions)?, memory: number(memory)? })
        }
        _ => None,
    }
}

/// The file.
pub fn text(tables: &[Table]) -> String {
    let mut text = HEAD.to_owned();
    for Table { processor, tools, counts } in tables {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{HEADING}{processor}\n\n{TOOLS}{tools}.\n\n");
        text += "| work | instructions | bytes of memory |\n| --- | ---: | ---: |\n";
        for Count { name, instructions, memory } in counts {
            let _ = writeln!(text, "| {name} | {} | {} |", grouped(*instructions), grouped(*memory));
        }
    }
    text
}

/// Puts a table in the place of the one for the same processor, or behind all others.
pub fn replace(tables: &mut Vec<Table>, new: Table) {
    match tables.iter_mut().find(|old| old.processor == new.processor) {
        Some(old) => *old = new,
        None => tables.push(new),
    }
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

/// A line for all that grew, or is not in the table, or is in it alone; and whether any of it is refused.
pub fn compare(kept: &[Count], counted: &[Count]) -> (Vec<String>, bool) {
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

    fn table(processor: &str, counts: &[Count]) -> Table {
        Table {
            processor: processor.to_owned(),
            tools: "rustc 1.95.0 (a day), nobody".to_owned(),
            counts: counts.to_vec(),
        }
    }

    #[test]
    fn tables_are_read_as_they_were_written() {
        let tables = [
            table("x86_64", &[count("a list", 12_345_678, 0), count("a page", 999, 1000)]),
            table("mips_24kc", &[count("a list", 23_456_789, 4)]),
        ];
        let text = text(&tables);
        assert!(text.contains("| a list | 12,345,678 | 0 |\n| a page | 999 | 1,000 |\n"), "{text}");
        assert_eq!(parse(&text), tables);
    }

    #[test]
    fn a_new_table_leaves_the_others_alone() {
        let (here, mips) = (table("x86_64", &[count("a list", 1, 2)]), table("mips_24kc", &[count("a list", 3, 4)]));
        let mut tables = vec![here.clone()];
        replace(&mut tables, mips);
        let again = table("mips_24kc", &[count("a list", 5, 6)]);
        replace(&mut tables, again.clone());
        assert_eq!(parse(&text(&tables)), [here, again]);
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert_eq!(parse("# Costs\n\nCounted with care.\n\n| a | 1 | 2 |\n"), []);
        let text =
            "## On mips\n| work | instructions | bytes |\n| --- | ---: | ---: |\n| a | 1 |\n| b | 1,0 | 2 | 3 |\n";
        assert_eq!(parse(text), [Table { processor: "mips".to_owned(), ..Table::default() }]);
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
