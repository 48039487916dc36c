//! Three nats-servers that keep everything three times, and two hubs; each can be killed and started again, and the
//! third server stands behind a wire of its own, whose links to the other two can be cut.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::admin::Admin;
use crate::Result;
use crate::command::command;
use crate::files::write;
use crate::hub::shipped;
use crate::measure;
use crate::parts::Part;
use crate::sandbox::{Machine, load_nft};

/// Who may ask everything; the password is the same word.
pub const ADMIN: &str = shipped::HUB;

/// Here, and where the third server is.
const NEAR: &str = "192.0.2.1";
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// How long it may take until the cluster, or a hub, works.
const WITHIN: Duration = Duration::from_secs(60);

/// The cluster.
pub struct Cluster {
    scratch: PathBuf,
    nats_server: PathBuf,
    hub: PathBuf,
    third: Machine,
    servers: [Option<Part>; 3],
    hubs: [Option<Part>; 2],
    /// Who of them is meant to be there.
    pub addresses: Vec<SocketAddrV4>,
}

impl Cluster {
    /// Starts everything, for so many routers.
    pub fn start(scratch: &Path, nats_server: PathBuf, hub: PathBuf, routers: usize) -> Result<Cluster> {
        let third = Machine::on_wan(&format!("{NEAR}/24"), &format!("{FAR}/24"), "198.51.100.3/32")?;
        let addresses = [Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, FAR];
        let addresses = addresses.into_iter().zip(4221..).map(|(address, port)| SocketAddrV4::new(address, port));
        let mut cluster = Cluster {
            scratch: scratch.to_path_buf(),
            nats_server,
            hub,
            third,
            servers: [None, None, None],
            hubs: [None, None],
            addresses: addresses.collect(),
        };
        (0..2).try_for_each(|hub| cluster.configure_hub(hub))?;
        let users = users(&cluster.hub, &scratch.join("hub0.toml"), routers)?;
        load_nft(
            "table inet links { chain cut { type filter hook prerouting priority -300; }; chain off { \
                  type filter hook output priority -300; }; }",
            scratch,
        )?;
        for server in 0..3 {
            cluster.configure(server, routers, &users)?;
            cluster.start_server(server)?;
        }
        cluster.wait("JetStream", |admin| {
            let leader = admin.ask_json("$JS.API.INFO", "")?;
            leader.get("limits").map(drop).ok_or_else(|| "no limits".into())
        })?;
        for hub in 0..2 {
            cluster.start_hub(hub)?;
            cluster.wait("the hub", |admin| admin.ask("diswall.hub.hello", "1").map(drop))?;
        }
        Ok(cluster)
    }

    fn configure(&self, server: usize, routers: usize, users: &str) -> Result<()> {
        let Some(address) = self.addresses.get(server) else { return Ok(()) };
        let number = server + 1;
        let all = [(0, format!("{NEAR}:6221")), (1, format!("{NEAR}:6222")), (2, format!("{FAR}:6223"))];
        let others = all.iter().filter(|(other, _)| *other != server);
        let routes = others.map(|(_, place)| format!("nats://{place}")).collect::<Vec<_>>().join(", ");
        let store = self.scratch.join(format!("store{number}"));
        let text = shipped::nats_server(&address.to_string(), &store, users)?;
        let text = format!(
            "{text}server_name: n{number}\nmax_connections: {}\n\
             cluster {{ name: fleet, listen: \"0.0.0.0:622{number}\", routes: [{routes}] }}\n",
            routers + 100,
        );
        write(&self.scratch.join(format!("n{number}.conf")), text)
    }

    pub fn start_server(&mut self, server: usize) -> Result<()> {
        let configuration = self.scratch.join(format!("n{}.conf", server + 1));
        let program = self.nats_server.to_string_lossy().into_owned();
        let mut command = if server == 2 { self.third.command(&program) } else { command(&program, &[]) };
        let part = Part::start(&format!("n{}", server + 1), command.arg("-c").arg(configuration), &self.scratch)?;
        if let Some(place) = self.servers.get_mut(server) {
            *place = Some(part);
        }
        Ok(())
    }

    /// Kills it as a power cut would.
    pub fn kill_server(&mut self, server: usize) {
        if let Some(place) = self.servers.get_mut(server) {
            *place = None;
        }
    }

    fn configure_hub(&self, hub: usize) -> Result<()> {
        let servers: Vec<String> = self.addresses.iter().map(|address| format!("\"nats://{address}\"")).collect();
        let text = format!(
            "[nats]\nservers = [{}]\nuser = \"{ADMIN}\"\npassword = \"{ADMIN}\"\n[trust]\nquorum = {}\n\
             bans_per_hour = 1000000\n[store]\nreplicas = 3\n",
            servers.join(", "),
            super::QUORUM
        );
        write(&self.scratch.join(format!("hub{hub}.toml")), text)
    }

    pub fn start_hub(&mut self, hub: usize) -> Result<()> {
        let configuration = self.scratch.join(format!("hub{hub}.toml"));
        let mut command = command(&self.hub.to_string_lossy(), &["-c"]);
        let part = Part::start(&format!("hub{hub}"), command.arg(configuration), &self.scratch)?;
        if let Some(place) = self.hubs.get_mut(hub) {
            *place = Some(part);
        }
        Ok(())
    }

    pub fn kill_hub(&mut self, hub: usize) {
        if let Some(place) = self.hubs.get_mut(hub) {
            *place = None;
        }
    }

    /// Nothing passes any more between the third server and the others; its routers still reach it.
    pub fn cut_links(&self) -> Result<()> {
        let ports = "{ 6221, 6222, 6223 }";
        let rule = |chain: &str, device: &str| {
            format!(
                "add rule inet links {chain} {device} \"wan\" tcp dport {ports} drop\n\
                 add rule inet links {chain} {device} \"wan\" tcp sport {ports} drop\n"
            )
        };
        load_nft(&(rule("cut", "iifname") + &rule("off", "oifname")), &self.scratch)
    }

    pub fn mend_links(&self) -> Result<()> {
        load_nft("flush chain inet links cut\nflush chain inet links off\n", &self.scratch)
    }

    /// An error when one has ended that nobody killed.
    pub fn check_running(&mut self) -> Result<()> {
        self.servers.iter_mut().chain(&mut self.hubs).flatten().try_for_each(Part::check_running)
    }

    /// Memory of those that run, in MB: servers, hubs.
    pub fn memory(&self) -> (Vec<u64>, Vec<u64>) {
        let of = |parts: &[Option<Part>]| {
            let running = parts.iter().flatten();
            running.map(|part| measure::memory(part.id(), "VmRSS").unwrap_or(0) / 1024).collect()
        };
        (of(&self.servers), of(&self.hubs))
    }

    /// CPU time of those that run: servers, hubs.
    pub fn cpu(&self) -> (Duration, Duration) {
        let of = |parts: &[Option<Part>]| {
            parts.iter().flatten().map(|part| measure::cpu(part.id()).unwrap_or_default()).sum()
        };
        (of(&self.servers), of(&self.hubs))
    }

    /// Someone who asks; at the first server that answers.
    pub fn admin(&self) -> Result<Admin> {
        let mut told = String::new();
        for address in &self.addresses {
            match Admin::connect(*address) {
                Ok(admin) => return Ok(admin),
                Err(error) => told = error,
            }
        }
        Err(told)
    }

    fn wait(&mut self, what: &str, works: impl Fn(&mut Admin) -> Result<()>) -> Result<()> {
        let start = Instant::now();
        loop {
            self.check_running()?;
            match self.admin().and_then(|mut admin| works(&mut admin)) {
                Ok(()) => return Ok(()),
                Err(error) if start.elapsed() > WITHIN => {
                    return Err(format!("{what} does not work within {} s: {error}", WITHIN.as_secs()));
                }
                Err(_) => sleep(Duration::from_millis(100)),
            }
        }
    }
}

/// A login for every router, with what `diswall-hub user add` lets one do; the password is the same word.
fn users(hub: &Path, configuration: &Path, routers: usize) -> Result<String> {
    const LOGIN: &str = "ROUTER";
    let (entry, _) = shipped::user(hub, configuration, LOGIN)?;
    let password = entry.split("password: \"").nth(1).and_then(|rest| rest.split('"').next());
    let entry = entry.replace(password.ok_or_else(|| format!("no password in {entry}"))?, LOGIN);
    Ok((0..routers).map(|router| entry.replace(LOGIN, &format!("r{router}"))).collect())
}
