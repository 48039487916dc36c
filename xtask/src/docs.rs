//! `cargo xtask docs`: makes the reference, the man pages and the completions anew from the program's own tables.
//! The work is a test's of the library, which alone knows the tables (`src/cli/reference`), and one of the hub's for its
//! own man page. Here too: whether what the documents point to is there.

use crate::command::{cargo, run};
use crate::{Result, Subcommand, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "docs", summary: "make the reference, man pages and completions anew", help: HELP, run: write };

const HELP: &str = "\
Usage: cargo xtask docs

Writes docs/reference.md, docs/man and contrib/completions from the programs' own tables: argh's of commands, and
those of the configuration's options. `cargo xtask test` refuses files that are not what this makes.";

fn write(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        return Err(format!("docs takes no options, and was given {args:?}"));
    }
    setup::ensure(&[setup::BUILD])?;
    let programs =
        [["--package", "diswall", "--lib", "cli::reference"], ["--package", "diswall-hub", "--bins", "manual"]];
    for program in programs {
        run(cargo(&["test", "--quiet"]).args(program).env("DISWALL_WRITE_DOCS", "1"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::{Path, PathBuf};

    /// Directories whose files documents may name.
    const NAMED: [&str; 11] = [
        "contrib/",
        "docs/",
        "examples/",
        "fuzz/",
        "luci-app/",
        "openwrt/",
        "reforis/",
        "src/",
        "tests/",
        "uci-defaults/",
        "xtask/",
    ];

    fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(&*name, "target" | "dist" | "node_modules") && !name.starts_with('.') {
                documents(&path, found);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }

    /// The text without blocks of code.
    fn prose(text: &str) -> String {
        let mut fenced = false;
        let mut kept = Vec::new();
        for line in text.lines() {
            fenced ^= line.starts_with("```");
            if !fenced && !line.starts_with("    ") {
                kept.push(line);
            }
        }
        kept.join("\n")
    }

    /// A heading's anchor, as GitHub and others make it.
    fn anchor(heading: &str) -> String {
        let kept =
            heading.trim().chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    }

    fn anchors(path: &Path) -> Vec<String> {
        let text = prose(&fs::read_to_string(path).unwrap_or_default());
        text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
    }

    fn links(text: &str) -> Vec<&str> {
        text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).collect()
    }

    /// What is wrong with a link of a document; `None`: nothing.
    fn broken(document: &Path, link: &str) -> Option<String> {
        if link.starts_with("http://") || link.starts_with("https://") || link.starts_with("mailto:") {
            return None;
        }
        let (file, wanted) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let path = if file.is_empty() { document.to_path_buf() } else { document.parent().unwrap().join(file) };
        let lost = match wanted {
            _ if !path.exists() => "no such file",
            Some(wanted) if !anchors(&path).iter().any(|known| known == wanted) => "no such heading",
            _ => return None,
        };
        Some(format!("{}: ({link}): {lost}", document.display()))
    }

    #[test]
    fn what_the_documents_point_to_is_there() {
        let root = crate::root();
        let mut all = Vec::new();
        documents(&root, &mut all);
        assert!(all.len() > 8, "{all:?}");
        let mut wrong = Vec::new();
        for document in all {
            let text = prose(&fs::read_to_string(&document).unwrap());
            wrong.extend(links(&text).into_iter().filter_map(|link| broken(&document, link)));
            for span in text.split('`').skip(1).step_by(2) {
                let plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
                // Words in capitals stand for names of the reader's.
                let placeholder =
                    span.split('/').any(|part| part.len() > 2 && part.bytes().all(|b| b.is_ascii_uppercase()));
                let ours = plain && !placeholder && NAMED.iter().any(|place| span.starts_with(place));
                if ours && !root.join(span).exists() {
                    wrong.push(format!("{}: `{span}`: no such file", document.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_link_is_found_broken() {
        let readme = crate::root().join("README.md");
        assert_eq!(broken(&readme, "docs/manual.md#the-pages-on-the-command-line"), None);
        assert_eq!(broken(&readme, "https://example.org/nothing"), None);
        assert!(broken(&readme, "docs/nothing.md").is_some_and(|why| why.ends_with("no such file")));
        assert!(broken(&readme, "docs/manual.md#nothing").is_some_and(|why| why.ends_with("no such heading")));
        assert_eq!(anchor(" Is it in force? Reading `status`"), "is-it-in-force-reading-status");
    }
}
