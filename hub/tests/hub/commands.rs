//! The commands, as an owner types them.

use crate::support::{Site, wait_for};

#[tokio::test]
async fn an_owner_sees_and_allows() {
    let mut site = Site::new(&["alice", "pot"]).await;
    let _hub = site.hub("[trust]\nhoneypots = [\"pot\"]\n").await;
    let (mut alice, pot) = (site.router("alice").await, site.router("pot").await);
    alice.init("white").await;
    pot.report("203.0.113.7", "ssh").await;
    alice.until("it is banned", |bans| !bans.is_empty()).await;
    let check = site.run(&["check", "203.0.113.7"]).await;
    assert!(check.contains("reason ssh, for the 1. time") && check.contains("reported by pot, a honeypot"), "{check}");
    let bans = site.run(&["bans"]).await;
    assert!(bans.starts_with("203.0.113.7 ") && bans.ends_with(" ssh 0\n"), "{bans}");
    assert_eq!(site.run(&["allow", "203.0.113.0/24"]).await, "203.0.113.0/24 is allowed; 1 bans ended\n");
    alice.until("it is free", |bans| bans.is_empty()).await;
    let status = site.run(&["status"]).await;
    assert!(status.contains("2 reporters, 0 revoked") && status.contains("1 allowances"), "{status}");
    assert!(site.run(&["check", "203.0.113.7"]).await.contains("no report can ban it: allowed"));
    site.run(&["allow", "--remove", "203.0.113.0/24"]).await;
    wait_for("it can be banned again", async || {
        pot.report("203.0.113.7", "ssh").await;
        site.run(&["bans"]).await.contains("203.0.113.7")
    })
    .await;
    assert!(site.command("hub", &["allow", "0.0.0.0/0"]).unwrap_err().contains("every address"));
    assert!(site.command("hub", &["user", "add", "a.b"]).is_err());
}
