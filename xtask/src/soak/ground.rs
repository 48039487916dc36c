//! What a soak's router stands on: this machine's own kernel (`here`), or an emulated machine of its own (`emulated`).
//! The cards and the judge know this alone.

use std::process::Command;
use std::time::Duration;

use crate::Result;

/// The router's address on the wan side, and a stranger's, who is its gateway.
pub const ROUTER: &str = "192.0.2.1";
pub const GATEWAY: &str = "192.0.2.2";

/// The router's device there.
pub const WAN: &str = "wan";

/// The daemon's account, by number, that the package makes.
pub const ACCOUNT: u32 = 914;

/// Where somebody listens.
pub const OPEN: u16 = 22;

/// See the module's head.
pub trait Ground {
    /// Runs a line of a shell's on the router, as root; what it prints. An error when it fails. What is installed is
    /// called `diswall`.
    fn tell(&mut self, line: &str) -> Result<String>;

    /// Makes a file of this text on the router, at once whole; or adds the text to one.
    fn write(&mut self, path: &str, text: &str) -> Result<()>;
    fn append(&mut self, path: &str, text: &str) -> Result<()>;

    /// A program of somebody's on the wan side, who has the gateway's address and every other one.
    fn outside(&self, program: &str) -> Command;

    /// At which address the router finds the servers of the feeds.
    fn servers(&self) -> &'static str;

    /// Where the router has files that are gone after a boot, and that its own account may read.
    fn ram(&self) -> &'static str;

    /// The rules, for the kernel of this process, with which nothing of the feeds comes through at these ports.
    fn loss(&self, ports: &str) -> String;

    /// Starts the daemon as procd does, and does not wait until it answers.
    fn start(&mut self) -> Result<()>;

    /// An error when it has ended.
    fn check_running(&mut self) -> Result<()>;

    /// Has it read its configuration anew.
    fn reload(&mut self) -> Result<()>;

    /// Ends it, in order or not, and waits for that.
    fn end(&mut self, killed: bool) -> Result<()>;

    /// Ends all that runs, by the power's end or in order, and boots: memory, sets and rules are gone, the boot clock
    /// begins anew, what is on flash is there. The router is off for so long. The daemon is not started.
    fn boot(&mut self, by_power: bool, away: Duration) -> Result<()>;

    /// Sets the wall clock to so many seconds beside this machine's.
    fn set_clock(&mut self, offset: i64) -> Result<()>;

    /// What the daemon costs by now.
    fn reading(&mut self) -> Result<Reading>;

    /// The last lines that it logged.
    fn log_tail(&mut self) -> String;
}

/// What the daemon costs at a moment.
#[derive(Default)]
pub struct Reading {
    /// Memory of its own and resident memory, in KiB.
    pub own: u64,
    pub resident: u64,
    pub descriptors: u64,
    /// CPU time of this life, and bytes of pages that it dirtied on file systems that lie on a device.
    pub cpu: Duration,
    pub pages: u64,
    /// The files on flash.
    pub files: Vec<FlashFile>,
    /// For a whole machine: bytes that were written to the flash's device since the soak began, and the memory that is
    /// available, in KiB.
    pub machine: Option<Whole>,
}

/// A file on flash as it is by now.
#[derive(Clone, PartialEq, Eq)]
pub struct FlashFile {
    pub path: String,
    pub inode: u64,
    pub length: u64,
    /// When it was changed, as exactly as the router says.
    pub changed: i64,
}

/// What there is to say of a machine beside the daemon.
#[derive(Clone, Copy)]
pub struct Whole {
    pub device: u64,
    pub available: u64,
}

/// How fast a router's time goes, and how patient one must be.
#[derive(Clone, Copy)]
pub struct Pace {
    /// By how many times a router's time goes faster.
    pub speed: u64,
    /// How many times as long everything may take as on this machine's own processor.
    pub slower: u32,
}

impl Pace {
    /// On this machine's own kernel.
    pub const HERE: Pace = Pace { speed: 100, slower: 1 };

    /// On an emulated processor: a comparison takes it seconds, and it has this machine's processors after others.
    pub const EMULATED: Pace = Pace { speed: 20, slower: 4 };

    /// The time in which a pack is played, which is what happens in 100 minutes.
    pub fn pack(self) -> Duration {
        Duration::from_secs(100 * 60 / self.speed)
    }

    /// The time in which a life of the daemon's fills its buffers and tables.
    pub fn warm_up(self) -> Duration {
        self.pack() * 2
    }

    /// A time that is long enough here, on this ground.
    pub fn long(self, time: Duration) -> Duration {
        time * self.slower
    }

    /// How long anything may take on a machine that does much else.
    pub fn patience(self) -> Duration {
        self.long(Duration::from_secs(120))
    }
}
