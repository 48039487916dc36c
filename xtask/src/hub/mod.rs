//! `cargo xtask hub`: what a hub is for, shown on real parts. A nats-server, a hub, and three routers with daemon and
//! firewall of their own; a stranger knocks at two of them, and the third is closed to it before it comes there.

mod door;
pub mod shipped;
mod street;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use self::street::Street;
use crate::command::{cargo, run};
use crate::measure::monotonic;
use crate::sandbox::{self, Interrupted};
use crate::{Result, Subcommand, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "hub", summary: "three routers share their bans over a hub, shown live", help: HELP, run: hub };

const HELP: &str = "\
Usage: cargo xtask hub [--seconds N]

Makes, in namespaces of this program's own, a nats-server with JetStream, a hub that wants two
reporters for a ban, and three routers: each with the daemon, its own firewall, and a login that
`diswall-hub user add` made. A stranger knocks at a closed port of the first router: banned there,
and nowhere else, for one router's word is not enough. It knocks at the second: now the third is
closed to it as well. Then the second's word is taken back. Times are from the kernels' own
announcements, and pings say what passes.

  --seconds N   how long it goes on at least, so that the page can be looked at, 0 to 3600 (default 40)

Prints the page's address. Needs root. Ends by itself or with Ctrl-C, and leaves nothing behind.";

/// The stranger. The hub takes no report of an address that is nobody's, so it is somebody's; no packet leaves.
pub const STRANGER: &str = "45.83.64.77";

/// A port at which the first packet is enough.
const HONEYPOT: u16 = 23;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long something that must not come is waited for.
const NEVER: Duration = Duration::from_secs(2);

fn hub(args: &[String]) -> Result<()> {
    if let Some(args) = sandbox::is_inside(args) {
        let outcome = play(parse(args)?);
        return outcome.map_err(|error| format!("it broke off: {error}"));
    }
    parse(args)?;
    setup::require_root("the hub's demo")?;
    setup::ensure(&[setup::BUILD, setup::RUN])?;
    setup::nats_server()?;
    println!("Building the daemon and the hub.");
    run(&mut cargo(&["build", "--quiet", "--package", "diswall", "--package", "diswall-hub"]))?;
    // The page's door is opened out here, and answered inside.
    let door = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("a port for the page: {error}"))?;
    sandbox::enter_with(SUBCOMMAND.name, args, Stdio::from(OwnedFd::from(door)))?;
    println!("Nothing is left behind: namespaces, processes and files ended with it.");
    Ok(())
}

/// The `--seconds` of the arguments.
fn parse(args: &[String]) -> Result<Duration> {
    let value = match args {
        [] => return Ok(Duration::from_secs(40)),
        [flag, value] if flag == "--seconds" => value.as_str(),
        [flag] if flag.starts_with("--seconds=") => flag.trim_start_matches("--seconds="),
        _ => return Err(format!("hub takes --seconds N, and was given {args:?}")),
    };
    let seconds = value.parse().ok().filter(|seconds| *seconds <= 3600);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("--seconds takes a number from 0 to 3600, not {value:?}"))
}

/// Says what happens, with the time since the start.
struct Teller {
    start: Instant,
    account: Vec<String>,
}

impl Teller {
    fn say(&self, what: &str) {
        println!("{:>5.1} s  {what}", self.start.elapsed().as_secs_f64());
    }

    /// Says it now and once more at the end.
    fn note(&mut self, what: String) {
        self.say(&what);
        self.account.push(what);
    }
}

fn play(least: Duration) -> Result<()> {
    let interrupted = sandbox::note_interrupts()?;
    let mut teller = Teller { start: Instant::now(), account: Vec::new() };
    let scratch = sandbox::scratch()?;
    teller.say("A nats-server and a hub; a ban needs two reporters.");
    let mut street = Street::build(&scratch)?;
    match door::open(street::PAGE) {
        Ok(address) => teller.say(&format!("The hub's page: http://{address}/  token {}", street.token)),
        Err(error) => teller.say(&format!("The hub's page is not shown: {error}")),
    }
    teller.say("Three routers, each with the daemon, a firewall, and a login made by `diswall-hub user add`.");
    street.start_routers()?;
    street.wait_live(&interrupted)?;
    teller.say("All three follow the hub.");
    story(&mut street, &mut teller)?;
    teller.say("What the hub knows (diswall-hub status):");
    print!("{}", street.hub(&["status"])?);
    let left = least.saturating_sub(teller.start.elapsed()).as_secs();
    if left > 0 {
        teller.say(&format!("The page stays for {left} s more; Ctrl-C ends it."));
    }
    while teller.start.elapsed() < least && !interrupted.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(100));
        street.check_running()?;
    }
    println!("\nWhat was seen:");
    for line in &teller.account {
        println!("  - {line}");
    }
    Ok(())
}

/// Each step is checked; the first that is not as it should be ends the demo.
fn story(street: &mut Street, teller: &mut Teller) -> Result<()> {
    for router in 0..3 {
        street.expect_ping(router, true)?;
    }
    teller.say(&format!("{STRANGER} pings all three, and all answer."));

    let took = street.knock(0, HONEYPOT, 0)?;
    teller.note(format!("It knocked at port {HONEYPOT} of router 1, which banned it {} later.", shown(took)));
    street.expect_no_change(2, NEVER)?;
    street.expect_ping(0, false)?;
    street.expect_ping(2, true)?;
    teller.note("One router's word is not enough: router 3 still answers it.".into());

    let took = street.knock(1, HONEYPOT, 2)?;
    teller.note(format!(
        "It knocked at router 2. Two say so: {} after the knock it was banned on router 3, where it never was.",
        shown(took)
    ));
    street.expect_ping(2, false)?;
    teller.say("Why, says the hub (diswall-hub check):");
    print!("{}", street.hub(&["check", STRANGER])?);

    let began = monotonic()?;
    teller.say(street.hub(&["revoke", street::LOGINS[1]])?.trim_end());
    let took = Duration::from_nanos(street.freed(2)?.saturating_sub(began));
    street.expect_ping(2, true)?;
    teller.note(format!("Router 2's word was taken back: {} later router 3 answered it again.", shown(took)));
    street.expect_ping(0, false)?;
    teller.note("Router 1 goes on with its own ban: what a router saw itself is its own affair.".into());
    Ok(())
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        short if short < 10.0 => format!("{short:.1} ms"),
        long => format!("{long:.0} ms"),
    }
}

/// An error once Ctrl-C has come.
fn go_on(interrupted: &Interrupted) -> Result<()> {
    if interrupted.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_taken_in_both_forms_and_bounded() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Duration::from_secs(40)));
        assert_eq!(parse(&["--seconds", "0"]), Ok(Duration::ZERO));
        assert_eq!(parse(&["--seconds=3600"]), Ok(Duration::from_secs(3600)));
        for wrong in [&["--seconds"][..], &["--seconds", "3601"], &["--seconds", "x"], &["-v"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
