//! The report as text, 80 columns wide, for any terminal and for a letter.

use super::{Block, TableRow, longest};

/// Columns.
const WIDTH: usize = 80;

/// Columns of a bar's label, and of its figure if that is not longer.
const LABEL: usize = 26;
const FIGURE: usize = 10;

/// Columns that a table's first column may have.
const FIRST: usize = 40;

/// The text, with a newline at its end.
pub fn text(blocks: &[Block]) -> String {
    let mut out = String::with_capacity(8 * 1024);
    for block in blocks {
        match block {
            Block::Title(title) => {
                line(&mut out, title);
                line(&mut out, &"=".repeat(title.chars().count().min(WIDTH)));
            }
            Block::Heading(heading) => {
                out.push('\n');
                line(&mut out, heading);
                line(&mut out, &"-".repeat(heading.chars().count()));
            }
            Block::Words(words) => wrapped(&mut out, words, ""),
            Block::Table(head, rows) => table(&mut out, head, rows),
            Block::Bars(bars) => {
                let longest = longest(bars);
                let figures = bars.iter().map(|(_, _, figure)| figure.chars().count()).max();
                let figures = figures.unwrap_or_default().clamp(FIGURE, WIDTH / 2);
                let room = WIDTH - LABEL - figures - 2;
                for (label, length, figure) in bars {
                    // In whole steps; what is not nothing has one.
                    let steps = u128::from(*length) * room as u128 / u128::from(longest);
                    let steps = usize::try_from(steps).unwrap_or(room).max(usize::from(*length > 0));
                    let bar = "#".repeat(steps);
                    line(&mut out, &format!("{}{figure:>figures$}  {bar}", padded(label, LABEL)));
                }
            }
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Cut or filled to so many columns, a blank at its end.
fn padded(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count < width {
        return [text, &" ".repeat(width - count)].concat();
    }
    let head: String = text.chars().take(width.saturating_sub(2)).collect();
    head + "… "
}

/// Words in lines that are no longer than the width.
fn wrapped(out: &mut String, words: &str, indent: &str) {
    let mut current = indent.to_string();
    for word in words.split_whitespace() {
        if current.len() > indent.len() && current.chars().count() + 1 + word.chars().count() > WIDTH {
            line(out, &current);
            current = indent.to_string();
        }
        if current.len() > indent.len() {
            current.push(' ');
        }
        current.push_str(word);
    }
    if current.len() > indent.len() {
        line(out, &current);
    }
}

/// The first column to the left, the others to the right.
fn table(out: &mut String, head: &[&str], rows: &[TableRow]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|title| title.chars().count())).max().unwrap_or_default()
    };
    let others: Vec<usize> = (1..head.len()).map(width).collect();
    let room = WIDTH.saturating_sub(others.iter().map(|width| width + 2).sum()).clamp(12, FIRST);
    let first = (width(0) + 1).min(room);
    let columns = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = padded(cells.next().unwrap_or_default(), first);
        for (cell, width) in cells.zip(&others) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        text.chars().take(WIDTH).collect::<String>()
    };
    line(out, &columns(&mut head.iter().copied()));
    for row in rows {
        line(out, &columns(&mut row.cells.iter().map(String::as_str)));
        wrapped(out, &row.words, "    ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::{blocks, tests::full};

    #[test]
    fn no_line_is_longer_than_a_terminal_and_none_steers_it() {
        for report in [full(), crate::control::protocol::Report::default()] {
            let text = text(&blocks(&report));
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
                assert_eq!(line, line.trim_end());
            }
            assert!(text.chars().all(|c| c == '\n' || crate::outside::is_plain(c)), "{text:?}");
        }
    }
}
