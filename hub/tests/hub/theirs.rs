//! What diswall-rs 0.7.2 says and wants: its subjects and bodies as they were recorded, from a real one that ran against
//! this hub.

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;

use crate::support::{DEADLINE, Router, Site, wait_for};

const HOST: &str = "theirs_example";

struct Theirs {
    client: Client,
    /// `diswall.blacklist.LOGIN.add.*`
    bans: Subscriber,
    /// `diswall.whitelist.LOGIN.add.*`
    allowed: Subscriber,
    _rest: Vec<Subscriber>,
}

impl Theirs {
    async fn connect(site: &Site) -> Theirs {
        let options = async_nats::ConnectOptions::with_user_and_password("legacy".into(), site.password("legacy"));
        let client = options.name("DisWall").connect(format!("127.0.0.1:{}", site.port)).await.unwrap();
        let subscribe = async |subject: String| client.subscribe(subject).await.unwrap();
        let bans = subscribe("diswall.blacklist.legacy.add.*".into()).await;
        let allowed = subscribe("diswall.whitelist.legacy.add.*".into()).await;
        let mut rest = Vec::new();
        for list in ["whitelist", "blacklist"] {
            rest.push(subscribe(format!("diswall.{list}.legacy.del.{HOST}")).await);
        }
        client.flush().await.unwrap();
        Theirs { client, bans, allowed, _rest: rest }
    }

    async fn init(&self, list: &str) -> String {
        let subject = format!("diswall.{list}.legacy.init.{HOST}");
        let reply = self.client.request(subject, "empty".into()).await.unwrap();
        String::from_utf8(reply.payload.to_vec()).unwrap()
    }

    async fn report(&self, body: &'static str) {
        self.client.publish(format!("diswall.blacklist.legacy.add.{HOST}"), body.into()).await.unwrap();
        self.client.flush().await.unwrap();
    }
}

async fn next(from: &mut Subscriber) -> String {
    let message = tokio::time::timeout(DEADLINE, from.next()).await.expect("nothing is told").unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

async fn told(router: &mut Router, address: &str) {
    router.until("our router has it", |bans| bans.contains_key(address)).await;
}

#[tokio::test]
async fn bans_go_both_ways_and_no_allowance_becomes_a_ban() {
    let mut site = Site::new(&["alice", "legacy --any-inbox"]).await;
    let more = "[trust]\nhoneypots = [\"alice\", \"legacy\"]\n[routers]\ndiswall_rs = [\"legacy\"]\n";
    let hub = site.hub(more).await;
    let mut alice = site.router("alice").await;
    let mut theirs = Theirs::connect(&site).await;
    assert_eq!(theirs.init("blacklist").await, "");

    theirs.report("45.83.70.1").await;
    theirs.report("45.83.70.2|ssh").await;
    for address in ["45.83.70.1", "45.83.70.2"] {
        told(&mut alice, address).await;
    }
    // Its own report comes back to it, and what the hub tells of it: an address alone, for it is not asked how long.
    let mut heard = Vec::new();
    alice.report("45.83.71.1", "ssh").await;
    while heard.last().is_none_or(|body| body != "45.83.71.1") {
        heard.push(next(&mut theirs.bans).await);
    }
    assert!(heard.contains(&"45.83.70.2".into()), "{heard:?}");

    // Each line is one that it can hand to nft.
    let is_whole = |list: &str| {
        list.lines().all(|line| {
            let (address, seconds) = line.split_once(" timeout ").unwrap_or_default();
            address.parse::<std::net::IpAddr>().is_ok() && seconds.parse::<u64>().is_ok()
        })
    };
    wait_for("all three are listed", async || {
        let list = theirs.init("blacklist").await;
        assert!(is_whole(&list), "{list:?}");
        ["45.83.70.1", "45.83.70.2", "45.83.71.1"].iter().all(|address| list.contains(&format!("{address} timeout ")))
    })
    .await;
    site.run(&["revoke", "alice"]).await;
    assert!(is_whole(&theirs.init("blacklist").await));

    // What it were answered as allowed it would ban; what it is told is right.
    theirs.client.publish(format!("diswall.whitelist.legacy.add.{HOST}"), "192.0.2.7".into()).await.unwrap();
    site.run(&["allow", "45.83.65.1", "--timeout", "3000"]).await;
    let mut allowed = vec![next(&mut theirs.allowed).await, next(&mut theirs.allowed).await];
    allowed.sort_unstable();
    assert_eq!(allowed, ["192.0.2.7", "45.83.65.1"]);
    assert_eq!(theirs.init("whitelist").await, "");
    assert_eq!(hub.said().matches("warn").count(), 0, "{}", hub.said());
}
