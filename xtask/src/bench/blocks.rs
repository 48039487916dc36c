//! The bench's rows about many addresses that are blocked by command: in 200 commands of 100, and in one from
//! standard input. What the daemon pays; banIP loads as many from a file with one `nft -f`, which stands beside it.

use std::fmt::Write as _;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use super::{Bench, Row, milliseconds};
use crate::Result;
use crate::command::{command, output};
use crate::files::write;
use crate::measure::{cost, cpu_at_rest};
use crate::parts::Daemon;
use crate::sandbox;

const ADDRESSES: u32 = 20_000;
const AT_ONCE: usize = 100;

impl Bench {
    /// CPU time of the daemon for either way.
    pub(super) fn blocks(&self) -> Result<Vec<Row>> {
        let mut daemon = Daemon::configure(&self.release, &self.scratch, None, None)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        daemon.load_rules()?;
        daemon.start()?;
        while daemon.status()?.is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let pid = daemon.part()?.id();
        // Spread over the address space, in no order, as a list of offenders is.
        let addresses: Vec<String> = (0..ADDRESSES)
            .map(|number| std::net::Ipv4Addr::from_bits(0x0100_0000 + number.wrapping_mul(40_503) % ADDRESSES * 5000))
            .map(|address| address.to_string())
            .collect();
        let before = cpu_at_rest(pid)?;
        for part in addresses.chunks(AT_ONCE) {
            output(daemon.command(&["block", "--timeout", "1h"]).args(part))?;
        }
        let by_hundreds = cpu_at_rest(pid)? - before;
        output(&mut daemon.command(&["clear", "--by", "owner"]))?;
        let before = cpu_at_rest(pid)?;
        let file = self.scratch.join("addresses");
        write(&file, addresses.join("\n"))?;
        let input = File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        output(daemon.command(&["block", "-", "--timeout", "1h"]).stdin(Stdio::from(input)))?;
        let at_once = cpu_at_rest(pid)? - before;
        let rules = output(&mut daemon.command(&["rules", "--standalone"]))?;
        daemon.stop()?;
        let mut text = String::from("add element inet fw4 diswall_manual4 {\n");
        for address in &addresses {
            let _ = writeln!(text, "{address} timeout 1h,");
        }
        text.push_str("}\n");
        let elements = self.scratch.join("elements.nft");
        write(&elements, text)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        sandbox::load_nft(&rules, &self.scratch)?;
        let loaded = cost("nft", &["-f", &elements.to_string_lossy()])?.cpu;
        let row = |work, own: Duration, aim| Row {
            work,
            own: milliseconds(own),
            other: format!("{} (`nft -f`)", milliseconds(loaded)),
            ratio: Some(own.as_secs_f64() / loaded.as_secs_f64()),
            aim,
        };
        Ok(vec![
            row("20,000 addresses blocked by 200 commands: the daemon's CPU time", by_hundreds, "≤ 500 ms"),
            row("the same by one `block -`", at_once, "≤ 500 ms"),
        ])
    }
}
