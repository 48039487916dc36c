//! `cargo xtask soak`: a router's week at a hundred times its speed, out of chance that a seed repeats. Called by `main`.
//!
//! A minute is a pack of cards, each something that happens on a router; `play` does it to the real parts and to a naive
//! truth, and at a comparison kernel, ledger and truth must be the same.

mod cards;
mod gauge;
mod judge;
mod play;
mod random;
mod router;
mod truth;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use play::Play;
use random::Random;

use crate::command::{cargo, run};
use crate::files::make_directory;
use crate::{Result, Subcommand, sandbox, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "soak", summary: "a router's week at a hundred times its speed", help: HELP, run: soak };

const HELP: &str = "\
Usage: cargo xtask soak [--minutes N] [--seed S] [--release]

Plays what happens on a router, a hundred times as fast: a minute has what a router has in 100 minutes, a week
takes 101 minutes. Both feeds (a simulated Sentinel over CURVE, a real nats-server with the simulated DisWall
service), scans and failed log-ins by real packets from another network namespace, the owner's commands, a list
that changes, reloads of the configuration and of the firewall's table, servers that go and come, links that
lose everything, a wall clock that is set, restarts, crashes, reboots and power cuts. All by chance, out of a
seed that is printed: the same seed plays the same again.

Four times a minute and at the end the kernel's sets (nft), the ledger (the control socket) and the soak's own
truth are compared, ends of bans included, and some who are banned try to get in. At the end come memory and
file descriptors with their slopes, CPU time, and what was written to flash. Exit status 1 if anything differs
or grows; then the seed and the moment are named.

  --minutes N   1 to 1440 (default 60)
  --seed S      a whole number (default: another each time)
  --release     the program as it is shipped, which says what it costs; otherwise the one that tests use

Not played: a boot clock that jumps while the daemon runs, which no kernel does; a wall clock that is set while
the router is off. Needs root. Leaves nothing behind.";

/// A router's week, in minutes of this.
const WEEK: f64 = 7.0 * 24.0 * 60.0 / 100.0;

/// Minutes after which a long run tells its figures so far.
const REPORTED: u64 = 10;

const MINUTE: Duration = Duration::from_secs(60);

fn soak(args: &[String]) -> Result<()> {
    if let Some(args) = sandbox::is_inside(args) {
        return inside(&parse(args)?);
    }
    let wanted = parse(args)?;
    setup::require_root("the soak")?;
    setup::ensure(&[setup::BUILD, setup::RUN])?;
    println!("Building the daemon and the simulated DisWall service.");
    run(&mut cargo(&["build", "--quiet", "--bin", "diswall", "--example", "diswall_service"]))?;
    if wanted.release {
        run(&mut cargo(&["build", "--quiet", "--release", "--bin", "diswall"]))?;
    }
    // Inside, this process's number is not known: the seed and the place are handed over.
    let disk = format!("target/soak/{}", std::process::id());
    make_directory(Path::new(&disk))?;
    let mut words = vec!["--minutes".to_owned(), wanted.minutes.to_string(), "--seed".into(), wanted.seed.to_string()];
    words.extend(wanted.release.then(|| "--release".to_owned()));
    words.extend(["--disk".to_owned(), disk.clone()]);
    let outcome = sandbox::enter(SUBCOMMAND.name, &words);
    let _ = std::fs::remove_dir_all(&disk);
    outcome
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    minutes: u64,
    seed: u64,
    release: bool,
    disk: PathBuf,
}

fn parse(args: &[String]) -> Result<Wanted> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut wanted = Wanted { minutes: 60, seed: now, release: false, disk: PathBuf::from("target/soak") };
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None if word == "--release" => (word, None),
            None => (word, words.next()),
        };
        let number = |most: u64| {
            let number = value.and_then(|value| value.parse::<u64>().ok()).filter(|number| *number <= most);
            number.ok_or_else(|| format!("{name} takes a whole number up to {most}, and was given {value:?}"))
        };
        match name {
            "--minutes" => wanted.minutes = number(1440)?.max(1),
            "--seed" => wanted.seed = number(u64::MAX)?,
            "--release" => wanted.release = true,
            "--disk" => wanted.disk = value.ok_or("--disk takes a directory")?.into(),
            _ => return Err(format!("soak does not know {word:?}; it takes --minutes, --seed and --release")),
        }
    }
    Ok(wanted)
}

fn inside(wanted: &Wanted) -> Result<()> {
    let interrupted = sandbox::note_interrupts()?;
    let scratch = sandbox::scratch()?;
    let own = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let parts = own.parent().map(Path::to_path_buf).unwrap_or_default();
    let program =
        if wanted.release { Path::new("target/release/diswall").to_path_buf() } else { parts.join("diswall") };
    let program = crate::files::absolute(&program)?;
    println!(
        "seed {}, {} minutes: {:.1} hours of a router's",
        wanted.seed,
        wanted.minutes,
        hours(wanted.minutes as f64)
    );
    let disk = crate::files::absolute(&wanted.disk)?;
    let mut play = Play::set_up(&program, &parts, &scratch, &disk, wanted.seed)?;
    let start = Instant::now();
    let mut played = 0;
    for minute in 0..wanted.minutes {
        let pack = cards::pack(wanted.seed, minute);
        for (number, card) in pack.iter().enumerate() {
            if interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
            // The pace, not a wait for anything: who is late is late.
            let due = MINUTE * minute as u32 + MINUTE / pack.len() as u32 * number as u32;
            sleep(due.saturating_sub(start.elapsed()));
            let mut random = Random::new(wanted.seed, (minute << 32) + number as u64 + 1);
            if let Err(error) = play.play(*card, &mut random) {
                return Err(format!(
                    "seed {}, minute {minute}, card {number} ({card:?}), after {:.1} s ({:.1} hours of a router's): {error}\n  \
                     the daemon's log:\n  {}",
                    wanted.seed,
                    start.elapsed().as_secs_f64(),
                    hours(start.elapsed().as_secs_f64() / 60.0),
                    play.log_tail()
                ));
            }
            played += 1;
        }
        let (comparisons, elements, longest) = play.compared;
        println!(
            "minute {}: {comparisons} comparisons, {elements} elements, all equal, within {:.1} s at the longest",
            minute + 1,
            longest.as_secs_f64()
        );
        if (minute + 1).is_multiple_of(REPORTED) && minute + 1 < wanted.minutes {
            report(&play);
        }
    }
    let took = start.elapsed().as_secs_f64() / 60.0;
    println!(
        "{played} things happened in {took:.1} minutes, with seed {}; kernel, ledger and truth are the same.",
        wanted.seed
    );
    if report(&play) { Ok(()) } else { Err(format!("seed {}: it grows, see above", wanted.seed)) }
}

/// Prints what it has cost so far; whether nothing grows.
fn report(play: &Play) -> bool {
    let (lines, is_flat) = play.gauge.report(WEEK);
    lines.iter().for_each(|line| println!("{line}"));
    is_flat
}

/// Minutes of the soak as hours of a router.
fn hours(minutes: f64) -> f64 {
    minutes * 100.0 / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_in_both_forms_and_bounded() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let wanted = parse(&["--minutes", "5", "--seed=7", "--release"]).expect("good ones");
        assert_eq!((wanted.minutes, wanted.seed, wanted.release), (5, 7, true));
        assert_eq!(parse(&[]).map(|wanted| wanted.minutes), Ok(60));
        for wrong in [&["--minutes"][..], &["--minutes", "1441"], &["--seed", "x"], &["week"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
