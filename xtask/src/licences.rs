//! Licences of everything that is linked in, judged against `deny.toml`, through `cargo tree`; and the
//! rest of what cargo-deny checks, where it is installed. Called by `test`.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::Result;
use crate::command::{cargo, find_program, output, run};

/// Checks every crate's licence; how many crates were looked at.
pub fn check_licences() -> Result<usize> {
    let policy = std::fs::read_to_string("deny.toml").map_err(|error| format!("deny.toml: {error}"))?;
    let accepted = accepted_licences(&policy);
    // The tests' own crates count too: they are not shipped, but they are in the repository's lock file.
    let tree = ["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"];
    let listing = output(cargo(&tree).args(["--format", "{p}\t{l}"]))?;
    let crates: BTreeSet<&str> = listing.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let refused: Vec<String> = crates
        .iter()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, licence)| !is_accepted(licence, &accepted))
        .map(|(name, licence)| format!("{name}: {}", if licence.is_empty() { "no licence" } else { licence }))
        .collect();
    if refused.is_empty() {
        Ok(crates.len())
    } else {
        Err(format!("deny.toml accepts none of these licences:\n  {}", refused.join("\n  ")))
    }
}

/// The strings of `allow = […]` in `deny.toml`'s `[licenses]`.
fn accepted_licences(policy: &str) -> BTreeSet<&str> {
    let licences = policy.split_once("[licenses]").map_or("", |(_, rest)| rest);
    let list = licences.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether an SPDX expression can be satisfied: some branch of its `OR`s with every part accepted.
fn is_accepted(expression: &str, accepted: &BTreeSet<&str>) -> bool {
    // "/" is how crates wrote OR before SPDX. Cargo's expressions nest at most one level of brackets,
    // and those always around an OR inside an AND: each AND part is judged as an OR of its own.
    let expression = expression.replace('/', " OR ");
    let leaf = |name: &str| accepted.contains(name.trim_matches(['(', ')', ' ']));
    let any_of = |part: &str| part.split(" OR ").any(leaf);
    let bracketed_and = expression.contains('(') && expression.contains(" AND ");
    if bracketed_and {
        return expression.split(" AND ").all(any_of);
    }
    expression.split(" OR ").any(|branch| branch.split(" AND ").all(leaf))
}

/// What came of the checks that need cargo-deny.
pub enum Deny {
    /// Bans, sources and advisories are all in order.
    Passed,
    /// Bans and sources are in order; advisories were not checked, and why.
    NoAdvisories(&'static str),
}

/// Bans, sources and, when its database can be had, known vulnerabilities.
pub fn check_deny() -> Result<Deny> {
    if find_program("cargo-deny").is_none() {
        // Compiling it takes longer than every other check together.
        return Ok(Deny::NoAdvisories("cargo-deny is not installed"));
    }
    run(&mut cargo(&["deny", "--all-features", "check", "bans", "licenses", "sources"]))?;
    let fetched = cargo(&["deny", "fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        return Ok(Deny::NoAdvisories("the advisory database cannot be fetched from here"));
    }
    run(&mut cargo(&["deny", "--all-features", "check", "advisories"]))?;
    Ok(Deny::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged_as_spdx_means_them() {
        let accepted = BTreeSet::from(["MIT", "Apache-2.0", "Unicode-3.0", "GPL-3.0-or-later"]);
        let table = [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("CDDL-1.0 OR MIT", true),
            ("CDDL-1.0", false),
            ("MIT AND CDDL-1.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND CDDL-1.0", false),
            ("(CDDL-1.0 OR EPL-2.0) AND MIT", false),
            ("", false),
        ];
        for (expression, expected) in table {
            assert_eq!(is_accepted(expression, &accepted), expected, "{expression:?}");
        }
    }

    #[test]
    fn the_policy_is_read_from_its_own_section() {
        let policy = "[bans]\nallow = [\"x\"]\n[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\", # ring\n]\n[sources]\n";
        assert_eq!(accepted_licences(policy), BTreeSet::from(["MIT", "ISC"]));
    }
}
