//! `cargo xtask test`: every check there is, in one run, with a summary at its end. CI runs this and
//! nothing else. A failed check does not stop the others.

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::command::{cargo, command, own_program, run, run_watching};
use crate::licences::{Deny, check_deny, check_licences};
use crate::{Result, Subcommand, bench, debian, emulate, fleet, hub, machine, package, setup, soak};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "test",
    summary: "formatting, clippy, unit tests, fuzz corpus, end-to-end tests, other processors, licences",
    help: HELP,
    run: run_all,
};

const HELP: &str = "\
Usage: cargo xtask test [--quick]

Runs every check, the quick ones first, and sums up:
  formatting    cargo fmt --check
  clippy        all targets, warnings denied
  unit tests    of the library, the program and xtask itself
  corpus        the kept inputs of the fuzz targets, through the same functions
  end to end    the real program against real publishers, a real nats-server and the real
                kernel, each test in a network namespace of its own (needs root)
  soak          a router's first hour and a half, played in a minute (cargo xtask soak), always the same
  hub           the hub against a real nats-server; its demo (cargo xtask hub); and 200 simulated routers
                on three servers and two hubs, of which some are lost (cargo xtask fleet)
  counts        instructions and memory of the daemon's work, beside docs/counts.md
  graphs        the collectors and scripts of contrib on Prometheus, collectd and Mosquitto
  hub's page    in a real browser, on the hub and nats-server (without Chromium: not)
  LuCI pages    in a real browser against the real daemon (skipped where no Chromium can be had)
  reForis       its module against a stand-in of foris-controller, its packages (without npm: none), and its
                pages in a real browser against the real daemon (without Chromium: not)
  routers       the packages' binaries, built beside the checks above; those for mips_24kc and
                aarch64_cortex-a53 without link-time optimization, which takes the most time
  emulated      those binaries under user-mode emulation (cargo xtask emulate --brief)
  counts, MIPS  the same instructions and memory as above, as mips_24kc runs them (cargo xtask bench --counts
                --mips; mipsel_24kc would have to be built once more)
  machines      and on whole emulated machines (cargo xtask machine)
  licences      of every crate, against deny.toml
  advisories    cargo-deny, where it is installed and its database can be fetched

End-to-end tests that fail, five at most, are tried once more alone, and those in a browser from the beginning: on
real servers and the kernel a machine that stands still for a moment must not look like a fault. What passes only
then is named in the summary.

--quick leaves out routers, emulated, counts on MIPS and machines, which are some 20 minutes of work for two cores.
Ubuntu has neither the compiler nor the other processors' libraries, and Debian 13 none for mipsel: they are left
out there too.

Installs what is missing (apt-get) and says so. Needs no terminal and no standard input.";

/// What came of one check.
enum Outcome {
    /// In order, with a word on how much was looked at.
    Passed(String),
    /// Not in order; the check itself has printed why.
    Failed(String),
    /// Not done, and why.
    Skipped(String),
}

/// Failed tests that are tried once more: more than these are no chance.
const TRIED_AGAIN: RangeInclusive<u64> = 1..=5;

/// The sums of cargo test's own `test result:` lines.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Those that failed, by name, where the tests' program says so.
    names: Vec<String>,
}

impl Tally {
    /// Takes in one line of cargo test's output: `test result: ok. 12 passed; 0 failed; 1 ignored; …`, or
    /// `test scan::a_test ... FAILED`.
    fn look(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names.push(name.to_owned());
        }
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl Tally {
    fn outcome(&self, all_well: bool) -> Outcome {
        let counts = format!("{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored);
        if all_well { Outcome::Passed(counts) } else { Outcome::Failed(counts) }
    }

    fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Takes in one line of the sum that node's test runner ends with: `# pass 25`, `ℹ fail 0`.
    fn look_node(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) else { return };
        let Some((what, Ok(number))) = rest.split_once(' ').map(|(what, number)| (what, number.parse::<u64>())) else {
            return;
        };
        match what {
            "pass" => self.passed += number,
            "fail" => self.failed += number,
            "skipped" => self.ignored += number,
            _ => {}
        }
    }
}

/// A check's line in the summary.
struct Line {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Runs the checks one after the other and keeps what came of them.
#[derive(Default)]
struct Report {
    lines: Vec<Line>,
    tally: Tally,
}

impl Report {
    fn check(&mut self, name: &'static str, check: impl FnOnce(&mut Tally) -> Result<Outcome>) {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = check(&mut self.tally).unwrap_or_else(Outcome::Failed);
        if let Outcome::Failed(why) = &outcome {
            eprintln!("{name}: {why}");
        }
        self.lines.push(Line { name, outcome, took: start.elapsed() });
    }

    /// Prints one line a check, then the sum in the form of cargo test's own last line.
    fn print(&self, took: Duration) -> bool {
        println!();
        for Line { name, outcome, took } in &self.lines {
            let (word, detail) = match outcome {
                Outcome::Passed(detail) => ("ok", detail),
                Outcome::Failed(detail) => ("FAILED", detail),
                Outcome::Skipped(detail) => ("skipped", detail),
            };
            let detail = detail.lines().next().unwrap_or_default();
            println!("{name:<12} {word:<8} {:>6.1} s  {detail}", took.as_secs_f64());
        }
        let all_well = !self.lines.iter().any(|line| matches!(line.outcome, Outcome::Failed(_)));
        let word = if all_well { "ok" } else { "FAILED" };
        let Tally { passed, failed, ignored, .. } = self.tally;
        println!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; finished in {:.2}s",
            took.as_secs_f64()
        );
        all_well
    }
}

fn run_all(args: &[String]) -> Result<()> {
    let quick = match args {
        [] => false,
        [option] if option == "--quick" => true,
        _ => return Err(format!("test takes --quick, and was given {args:?}")),
    };
    let start = Instant::now();
    setup::require_root("the test run")?;
    setup::ensure(&[setup::BUILD, setup::RUN, setup::TEST, setup::PACK, setup::SIGN])?;
    setup::ensure_rust_components()?;
    setup::unpack("crowdsec")?;
    setup::nats_server()?;

    let mut report = Report::default();
    report.check("formatting", |_| plain(&["fmt", "--all", "--check"]));
    let elsewhere = if quick { None } else { debian::at_hand().err() };
    let routers = if quick || elsewhere.is_some() { None } else { Some(build_for_routers()) };
    report.check("clippy", |_| plain(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    report.check("unit tests", |tally| tests(tally, &["--workspace", "--lib", "--bins"]));
    report.check("corpus", |tally| {
        if !Path::new("tests/corpus.rs").exists() {
            return Ok(Outcome::Skipped("no corpus is kept".into()));
        }
        tests(tally, &["--test", "corpus"])
    });
    report.check("end to end", |tally| tests(tally, &["--test", "e2e"]));
    report.check("soak", |_| in_order(&soak::SUBCOMMAND, &["--minutes", "1", "--seed", "1"]));
    report.check("hub", |tally| tests(tally, &["--package", "diswall-hub", "--test", "hub"]));
    report.check("hub, shown", |_| in_order(&hub::SUBCOMMAND, &["--seconds", "0"]));
    report.check("fleet", |_| in_order(&fleet::SUBCOMMAND, &["--routers", "200", "--seconds", "45"]));
    report.check("counts", |_| in_order(&bench::SUBCOMMAND, &["--counts"]));
    report.check("graphs", graphs);
    report.check("hub's page", hub_page);
    report.check("LuCI pages", luci_pages);
    report.check("reForis", reforis);
    if let Some(why) = elsewhere {
        report.check("routers", |_| Ok(Outcome::Skipped(format!("nor emulated: {why}"))));
    }
    if let Some(building) = routers {
        report.check("routers", |_| building.and_then(RouterBuild::wait));
        report.check("emulated", |_| in_order(&emulate::SUBCOMMAND, &["--as-built", "--brief"]));
        report.check("counts, MIPS", |_| in_order(&bench::SUBCOMMAND, &["--counts", "--mips", "mips_24kc"]));
        report.check("machines", |_| in_order(&machine::SUBCOMMAND, &[]));
    }
    report.check("licences", |_| check_licences().map(|crates| Outcome::Passed(format!("{crates} crates"))));
    report.check("advisories", |_| {
        Ok(match check_deny()? {
            Deny::Passed => Outcome::Passed(String::new()),
            Deny::NoAdvisories(why) => Outcome::Skipped(format!("not checked: {why}")),
        })
    });
    if report.print(start.elapsed()) { Ok(()) } else { Err("not everything is in order, see above".into()) }
}

/// The binaries for other processors, being built beside the other checks, of which the long ones mostly wait.
struct RouterBuild {
    child: Child,
    log: PathBuf,
    started: Instant,
}

/// Starts the build at a low priority, so that no test waits for it. When this program is killed it goes no
/// further than the step it is at.
fn build_for_routers() -> Result<RouterBuild> {
    setup::ensure(&[setup::CROSS, setup::EMULATE, setup::MACHINE])?;
    let log = PathBuf::from("target/routers.log");
    let told = |error: std::io::Error| format!("{}: {error}", log.display());
    let output = File::create(&log).map_err(told)?;
    let own = own_program()?;
    let both = "\"$0\" emulate --build-only --brief && \"$0\" machine --build-only";
    let child = command("setpriv", &["--pdeathsig", "KILL", "nice", "-n", "10", "sh", "-c", both])
        .arg(own)
        .stdout(output.try_clone().map_err(told)?)
        .stderr(output)
        .spawn()
        .map_err(|error| format!("setpriv: {error}"))?;
    println!("\nThe routers' binaries are being built meanwhile; {} tells how far.", log.display());
    Ok(RouterBuild { child, log, started: Instant::now() })
}

impl RouterBuild {
    fn wait(mut self) -> Result<Outcome> {
        let status = self.child.wait().map_err(|error| format!("the build for routers: {error}"))?;
        if status.success() {
            return Ok(Outcome::Passed(format!("{} s since their start", self.started.elapsed().as_secs())));
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        Err(format!("{status}\n{}", lines[lines.len().saturating_sub(40)..].join("\n")))
    }
}

/// Another subcommand, in a process of its own: several note Ctrl-C and go on, which is for them alone to do. However this
/// program ends, it ends with it.
fn in_order(subcommand: &Subcommand, args: &[&str]) -> Result<Outcome> {
    let mut own = command("setpriv", &["--pdeathsig", "KILL", "--"]);
    run(own.arg(own_program()?).arg(subcommand.name).args(args)).map(|()| Outcome::Passed(String::new()))
}

fn plain(args: &[&str]) -> Result<Outcome> {
    run(&mut cargo(args)).map(|()| Outcome::Passed(String::new()))
}

fn tests(sum: &mut Tally, args: &[&str]) -> Result<Outcome> {
    let mut own = Tally::default();
    let all_well = run_watching(cargo(&["test"]).args(args), |line| own.look(line))?;
    let mut outcome = own.outcome(all_well);
    let failed = own.names.len() as u64;
    // Of several programs' tests, cargo leaves those out that come after one that failed.
    if !all_well && own.failed == failed && TRIED_AGAIN.contains(&failed) && args.contains(&"--test") {
        println!("\nOnce more, alone: {}", own.names.join(", "));
        let again = run_watching(
            cargo(&["test"]).args(args).args(["--", "--exact", "--test-threads=1"]).args(&own.names),
            |_| {},
        )?;
        if again {
            own.passed += own.failed;
            own.failed = 0;
            outcome = second_try(&own, &own.names.join(", "));
        }
    }
    sum.add(&own);
    Ok(outcome)
}

/// In order, and something to mend all the same: the summary names what only passed the second time.
fn second_try(tally: &Tally, what: &str) -> Outcome {
    match tally.outcome(true) {
        Outcome::Passed(counts) => Outcome::Passed(format!("{counts}; only at the second try: {what}")),
        other => other,
    }
}

/// Runs tests that end with node's sums; where any fails, once more from the beginning.
fn tests_of(sum: &mut Tally, make: impl Fn() -> Command) -> Result<Outcome> {
    let run = || {
        let mut tally = Tally::default();
        let all_well = run_watching(&mut make(), |line| tally.look_node(line))?;
        Ok::<_, String>((tally, all_well))
    };
    let (mut tally, mut all_well) = run()?;
    let failed = tally.failed;
    let again = !all_well && TRIED_AGAIN.contains(&failed);
    if again {
        println!("\nOnce more: {failed} failed");
        (tally, all_well) = run()?;
    }
    sum.add(&tally);
    Ok(if again && all_well { second_try(&tally, &format!("{failed}, see above")) } else { tally.outcome(all_well) })
}

/// What draws graphs of the daemon, on the programs that read it.
fn graphs(sum: &mut Tally) -> Result<Outcome> {
    setup::ensure(&[setup::GRAPHS])?;
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    let mut packages = vec!["prometheus", "prometheus-node-exporter"];
    // A package of its own since Debian 13.
    if !Path::new(&setup::unpack("prometheus")?).join("usr/bin/promtool").exists() {
        packages.push("promtool");
    }
    for package in packages {
        let programs = Path::new(&setup::unpack(package)?).join("usr/bin");
        let told = |error: std::io::Error| format!("{}: {error}", programs.display());
        path.push(":");
        path.push(programs.canonicalize().map_err(told)?);
    }
    run(&mut cargo(&["build", "--quiet", "--bin", "diswall"]))?;
    let own = own_program()?;
    tests_of(sum, || {
        let mut tests = command("python3", &["contrib/test/run.py"]);
        tests.arg(own.with_file_name("diswall")).env("PATH", &path);
        tests
    })
}

/// The pages of luci-app-diswall. They are no part of the daemon: where their browser cannot be had
/// (Ubuntu has it as a snap only), they are left out, and the summary says so.
fn luci_pages(sum: &mut Tally) -> Result<Outcome> {
    if let Err(why) = setup::ensure(&[setup::LUCI]) {
        return Ok(Outcome::Skipped(format!("not tested: {why}")));
    }
    browse(sum, "luci-app/test/run.js")
}

/// The page of the hub.
fn hub_page(sum: &mut Tally) -> Result<Outcome> {
    if let Err(why) = setup::ensure(&[setup::LUCI]) {
        return Ok(Outcome::Skipped(format!("not tested: {why}")));
    }
    run(&mut cargo(&["build", "--quiet", "--package", "diswall-hub"]))?;
    browse(sum, "hub/tests/page/run.js")
}

/// Runs a node test that drives a browser on this program's daemon, or on the hub beside it.
fn browse(sum: &mut Tally, script: &str) -> Result<Outcome> {
    run(command("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir("luci-app/test"))?;
    run(&mut cargo(&["build", "--quiet", "--bin", "diswall"]))?;
    let own = own_program()?;
    tests_of(sum, || {
        let mut node = command("node", &[script]);
        node.env("DISWALL", own.with_file_name("diswall")).env("DISWALL_HUB", own.with_file_name("diswall-hub"));
        node
    })
}

/// The pages for reForis: their module, whether the bundle and the packages can be made, and how they do in a browser,
/// which takes the bundle from where the packages' build left it.
fn reforis(sum: &mut Tally) -> Result<Outcome> {
    run(&mut command("python3", &["-m", "unittest", "discover", "-s", "reforis/module/tests"]))?;
    if let Err(why) = setup::ensure(&[setup::NPM]) {
        return Ok(Outcome::Skipped(format!("not packed: {why}")));
    }
    (package::SUBCOMMAND.run)(&["--reforis".to_owned(), "3.11".to_owned()])?;
    if let Err(why) = setup::ensure(&[setup::LUCI]) {
        return Ok(Outcome::Skipped(format!("not in a browser: {why}")));
    }
    browse(sum, "reforis/test/run.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed_and_others_left_alone() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.06s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s",
            "test passed; 7 failed",
        ] {
            tally.look(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.ignored), (14, 3, 1));
    }

    #[test]
    fn failed_tests_are_known_by_name() {
        let mut tally = Tally::default();
        for line in [
            "test scan::a_scan ... ok",
            "test scan::a_flood has been running for over 60 seconds",
            "test scan::a_flood ... FAILED",
            "test a b ... FAILED to begin",
        ] {
            tally.look(line);
        }
        assert_eq!(tally.names, ["scan::a_flood"]);
    }

    #[test]
    fn nodes_sums_are_taken_in_whatever_its_reporter() {
        let mut tally = Tally::default();
        for line in ["# tests 28", "# pass 25", "ℹ fail 2", "# skipped 1", "# Subtest: pass 9", "ok 3 - pass 7"] {
            tally.look_node(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.ignored), (25, 2, 1));
    }
}
