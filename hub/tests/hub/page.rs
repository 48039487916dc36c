//! The page and the metrics, over HTTP as a browser and Prometheus ask.

use crate::support::site::free_port;
use crate::support::{Site, wait_for};

const TOKEN: &str = "a-word-that-nobody-guesses";

/// What curl(1) says of a request: headers and body.
async fn curl(arguments: &[&str]) -> String {
    let output = tokio::process::Command::new("curl").args(["-s", "-i"]).args(arguments).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn an_owner_logs_in_looks_and_revokes() {
    let mut site = Site::new(&["alice", "bob", "mallory"]).await;
    std::fs::write(site.path("token"), TOKEN).unwrap();
    let place = format!("127.0.0.1:{}", free_port());
    let page = format!("[page]\nlisten = \"{place}\"\ntoken_file = \"{}\"\n", site.path("token").display());
    let _hub = site.hub(&page).await;
    let (alice, mallory, mut bob) =
        (site.router("alice").await, site.router("mallory").await, site.router("bob").await);
    // What nobody else reports is no ban.
    mallory.report("203.0.113.8", "<b>ssh").await;
    mallory.report("203.0.113.7", "<b>ssh").await;
    alice.report("203.0.113.7", "").await;
    bob.until("it is banned", |bans| bans.len() == 1).await;
    let statistics =
        r#"{"time":1,"banned":2,"packets_dropped":31,"bytes_dropped":4,"packets_accepted":5,"bytes_accepted":6}"#;
    alice.client.publish("diswall.stats.alice.add.turris", statistics.into()).await.unwrap();

    let at = |path: &str| format!("http://{place}{path}");
    let closed = curl(&[&at("/?address=203.0.113.7")]).await;
    assert!(closed.contains("name=\"token\"") && !closed.contains("mallory"), "{closed}");
    assert!(closed.contains("default-src 'none'") && !closed.contains("<script"), "{closed}");
    assert!(curl(&["-d", "token=wrong", &at("/login")]).await.contains("That is not the token"));
    let opened = curl(&["-d", &format!("token={TOKEN}"), &at("/login")]).await;
    let cookie = opened.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());

    wait_for("the statistics are there", async || curl(&["-H", &cookie, &at("/")]).await.contains("alice.turris"))
        .await;
    let open = curl(&["-H", &cookie, &at("/?address=203.0.113.7")]).await;
    let hour = "1 address is banned; 1 was in the last hour";
    for shown in [hour, "reported by mallory", "reported by alice", ">31</td>", "bssh 1 of 2", ">1 of 2</td>"] {
        assert!(open.contains(shown), "{shown}: {open}");
    }
    let ask = curl(&["-H", &cookie, &at("/revoke?login=mallory")]).await;
    let form = ask.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let slip = curl(&["-H", &cookie, "-d", &format!("login=malory&form={form}"), &at("/revoke")]).await;
    assert!(slip.starts_with("HTTP/1.1 404") && slip.contains("the hub knows alice, mallory"), "{slip}");
    let forged = curl(&["-H", &cookie, "-d", "login=mallory&form=x", &at("/revoke")]).await;
    assert!(forged.starts_with("HTTP/1.1 403"), "{forged}");
    let done = curl(&["-H", &cookie, "-d", &format!("login=mallory&form={form}"), &at("/revoke")]).await;
    assert!(done.contains("mallory is revoked: 2 reports taken back, 1 ban ended."), "{done}");
    bob.until("it is free", |bans| bans.is_empty()).await;

    assert!(curl(&[&at("/metrics")]).await.starts_with("HTTP/1.1 401"));
    let metrics = curl(&["-H", &format!("Authorization: Bearer {TOKEN}"), &at("/metrics")]).await;
    assert!(metrics.contains("diswall_hub_reports_total 3") && metrics.contains("diswall_hub_leads 1"), "{metrics}");
    let big = curl(&["-d", &format!("token={}", "x".repeat(9000)), &at("/login")]).await;
    assert!(big.starts_with("HTTP/1.1 413"), "{big}");
}
