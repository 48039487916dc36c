//! `cargo xtask soak`: a router's week at a hundred times its speed, out of chance that a seed repeats. Called by `main`.
//!
//! A minute is a pack of cards, each something that happens on a router; `play` does it to the real parts and to a naive
//! truth, and at a comparison kernel, ledger and truth must be the same. The router is this machine's own kernel, or
//! an emulated machine.

mod cards;
mod emulated;
mod gauge;
mod ground;
mod here;
mod judge;
mod play;
mod random;
mod router;
mod truth;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use play::{Place, Play};
use random::Random;

use crate::command::{cargo, programs, run};
use crate::files::make_directory;
use crate::machine::{self, image};
use crate::{Result, Subcommand, sandbox, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "soak", summary: "a router's week at a hundred times its speed", help: HELP, run: soak };

const HELP: &str = "\
Usage: cargo xtask soak [--minutes N] [--seed S] [--release|--program FILE]
       cargo xtask soak --machine [--minutes N] [--seed S] [--program FILE]

Plays what happens on a router, a hundred times as fast: a minute has what a router has in 100 minutes, a week
takes 101 minutes. Both feeds (a simulated Sentinel over CURVE, a real nats-server with the simulated DisWall
service), scans and failed log-ins by real packets from another network namespace, the owner's commands, a list
that changes, reloads of the configuration and of the firewall's table, servers that go and come, links that
lose everything, a wall clock that is set, restarts, crashes, reboots and power cuts. All by chance, out of a
seed that is printed: the same seed plays the same again.

Four times a minute and at the end the kernel's sets (nft), the ledger (the control socket) and the soak's own
truth are compared, ends of bans included, and some who are banned try to get in. At the end come memory and
file descriptors with their slopes, CPU time, and what was written to flash. Exit status 1 if anything differs
or grows; then the seed and the moment are named. Whether anything grows is judged by samples of a tenth of a
router's week: after some 12 minutes here, after an hour with --machine.

  --minutes N   1 to 1440 (default 60)
  --seed S      a whole number (default: another each time)
  --release     the program as it is shipped, which says what it costs; otherwise the one that tests use
  --program F   a program that is built already
  --machine     the router is an emulated machine (mipsel, 64 MB, Debian's kernel), the program its package's

With --machine the same happens twenty times as fast: five minutes for what takes one otherwise, 8.4 hours for a
week. The emulated processor needs 3 s for a comparison, and 20 beside compilers: whatever is waited for may take
four times as long (480 s at the most), ends of bans may be off by 16 s in place of 4, and the shortest ban is four
times as long. Feeds and strangers are on a tap device. Flash is a disk of its own with a journal. A power cut is the
emulator's end: what the kernel has not written is lost, what the disk has taken is not. The wall clock is the
machine's own.

Not played: a boot clock that jumps while the daemon runs, which no kernel does; a wall clock that is set while
the router is off. Needs root. Leaves nothing behind.";

/// A router's week in minutes.
const WEEK: f64 = 7.0 * 24.0 * 60.0;

/// Minutes after which a long run tells its figures so far.
const REPORTED: u64 = 10;

fn soak(args: &[String]) -> Result<()> {
    if let Some(args) = sandbox::is_inside(args) {
        return inside(&parse(args)?);
    }
    let wanted = parse(args)?;
    setup::require_root("the soak")?;
    setup::ensure(&[setup::BUILD, setup::RUN])?;
    let program = build(&wanted)?;
    // Inside, this process's number is not known: the seed and the place are handed over.
    let disk = format!("target/soak/{}", std::process::id());
    make_directory(Path::new(&disk))?;
    let mut words = vec!["--minutes".to_owned(), wanted.minutes.to_string(), "--seed".into(), wanted.seed.to_string()];
    words.extend(wanted.emulated.then(|| "--machine".to_owned()));
    words.extend(["--program".to_owned(), program.display().to_string(), "--disk".into(), disk.clone()]);
    let outcome = sandbox::enter(SUBCOMMAND.name, &words);
    let _ = std::fs::remove_dir_all(&disk);
    outcome
}

/// Builds what is played with; the daemon's program.
fn build(wanted: &Wanted) -> Result<PathBuf> {
    println!("Building the daemon and the simulated DisWall service.");
    run(&mut cargo(&["build", "--quiet", "--bin", "diswall", "--example", "diswall_service"]))?;
    if wanted.emulated {
        setup::ensure(&[setup::MACHINE])?;
        image::fetch(emulated::KIND)?;
        return Ok(machine::build(emulated::KIND, wanted.program.as_deref())?.program);
    }
    if let Some(program) = &wanted.program {
        return Ok(program.clone());
    }
    if wanted.release {
        run(&mut cargo(&["build", "--quiet", "--release", "--bin", "diswall"]))?;
        return Ok("target/release/diswall".into());
    }
    Ok(programs()?.join("diswall"))
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    minutes: u64,
    seed: u64,
    release: bool,
    emulated: bool,
    program: Option<PathBuf>,
    disk: PathBuf,
}

fn parse(args: &[String]) -> Result<Wanted> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut wanted =
        Wanted { minutes: 60, seed: now, release: false, emulated: false, program: None, disk: "target/soak".into() };
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None if matches!(word, "--release" | "--machine") => (word, None),
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
            "--machine" => wanted.emulated = true,
            "--program" => wanted.program = Some(value.ok_or("--program takes a file")?.into()),
            "--disk" => wanted.disk = value.ok_or("--disk takes a directory")?.into(),
            _ => {
                let known = "--minutes, --seed, --machine, --program and --release";
                return Err(format!("soak does not know {word:?}; it takes {known}"));
            }
        }
    }
    if wanted.release && (wanted.emulated || wanted.program.is_some()) {
        return Err("--release builds a program of its own for this machine; --machine has a router's".into());
    }
    Ok(wanted)
}

fn inside(wanted: &Wanted) -> Result<()> {
    let interrupted = sandbox::note_interrupts()?;
    let scratch = sandbox::scratch()?;
    let program = crate::files::absolute(wanted.program.as_deref().ok_or("no program was handed over")?)?;
    let disk = crate::files::absolute(&wanted.disk)?;
    let place =
        Place { program: &program, parts: programs()?, scratch: &scratch, disk: &disk, emulated: wanted.emulated };
    let pace = place.pace();
    let packs = (wanted.minutes * pace.speed).div_ceil(100);
    println!(
        "seed {}, {} minutes: {:.1} hours of a router's, {} times as fast",
        wanted.seed,
        wanted.minutes,
        hours(packs),
        pace.speed
    );
    let mut play = Play::set_up(&place, wanted.seed)?;
    let start = Instant::now();
    let mut played = 0;
    for number in 0..packs {
        let pack = cards::pack(wanted.seed, number);
        for (place, card) in pack.iter().enumerate() {
            if interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
            // The pace, not a wait for anything: who is late is late.
            let due = pace.pack() * number as u32 + pace.pack() / pack.len() as u32 * place as u32;
            sleep(due.saturating_sub(start.elapsed()));
            let mut random = Random::new(wanted.seed, (number << 32) + place as u64 + 1);
            if let Err(error) = play.play(*card, &mut random) {
                return Err(format!(
                    "seed {}, pack {number}, card {place} ({card:?}), after {:.1} s: {error}\n  \
                     the daemon's log:\n  {}",
                    wanted.seed,
                    start.elapsed().as_secs_f64(),
                    play.log_tail()
                ));
            }
            played += 1;
        }
        let (comparisons, elements, longest) = play.compared;
        println!(
            "minute {:.0}: {comparisons} comparisons, {elements} elements, all equal, within {:.1} s at the longest",
            minutes(start.elapsed()),
            longest.as_secs_f64()
        );
        let reported = |number: u64| number * 100 / pace.speed / REPORTED;
        if reported(number + 1) > reported(number) && number + 1 < packs {
            report(&play, number + 1, start.elapsed());
        }
    }
    println!(
        "{played} things happened in {:.1} minutes, with seed {}; kernel, ledger and truth are the same.",
        minutes(start.elapsed()),
        wanted.seed
    );
    if report(&play, packs, start.elapsed()) {
        Ok(())
    } else {
        Err(format!("seed {}: it grows, see above", wanted.seed))
    }
}

/// Prints what it has cost in so many packs; whether nothing grows.
fn report(play: &Play, packs: u64, taken: Duration) -> bool {
    // By what was played, not by the pace: who is late has a longer week.
    let week = WEEK / 100.0 / packs as f64 * minutes(taken);
    let (lines, is_flat) = play.gauge.report(week);
    lines.iter().for_each(|line| println!("{line}"));
    is_flat
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

/// Packs of the soak as hours of a router.
fn hours(packs: u64) -> f64 {
    packs as f64 * 100.0 / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_in_both_forms_and_bounded() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let wanted = parse(&["--minutes", "5", "--seed=7", "--release"]).expect("good ones");
        assert_eq!((wanted.minutes, wanted.seed, wanted.release), (5, 7, true));
        assert_eq!(parse(&[]).map(|wanted| (wanted.minutes, wanted.emulated)), Ok((60, false)));
        let emulated = parse(&["--machine", "--program", "diswall"]).expect("good ones");
        assert_eq!((emulated.emulated, emulated.program), (true, Some("diswall".into())));
        let wrong: [&[&str]; 5] =
            [&["--minutes"], &["--minutes", "1441"], &["--seed", "x"], &["week"], &["--machine", "--release"]];
        for wrong in wrong {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
