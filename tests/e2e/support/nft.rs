//! `nft`, the judge of what is in the kernel. Always run in the test thread's own namespace.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::process::{run, try_run};

/// What fw4 makes of one zone `wan`, as far as packets come by.
pub const FW4: &str = "table inet fw4 {
	chain input_wan { drop; }
	chain forward_wan { drop; }
	chain input { type filter hook input priority filter; policy accept; iifname \"wan\" jump input_wan; }
	chain forward { type filter hook forward priority filter; policy accept; iifname \"wan\" jump forward_wan; }
}";

/// One element as `nft` lists it; seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its time-out; `None`: stays for good.
    pub timeout: Option<u64>,
    /// What is left of it.
    pub expires: Option<u64>,
}

/// Runs `nft` with these arguments; its standard output. Panics when it fails.
#[track_caller]
pub fn nft(args: &[&str]) -> String {
    run("nft", args)
}

/// As [`nft`], a failure given back.
pub fn try_nft(args: &[&str]) -> Result<String, String> {
    try_run("nft", args)
}

/// Feeds `text` to `nft -f -`. Panics with nft's complaint.
#[track_caller]
pub fn nft_load(text: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft is installed");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("nft reads");
    let output = child.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "nft -f -: {}\n{text}", String::from_utf8_lossy(&output.stderr));
}

/// What is in the set `name` of table `inet fw4`, by address (`203.0.113.7`), network (`203.0.113.0/24`)
/// or range (`203.0.113.1-203.0.113.9`).
#[track_caller]
pub fn nft_set_elements(name: &str) -> BTreeMap<String, Element> {
    let text = nft(&["-j", "list", "set", "inet", "fw4", name]);
    let listing: Value = serde_json::from_str(&text).expect("nft prints JSON");
    let objects = listing["nftables"].as_array().expect("nft's array");
    let set = objects.iter().find_map(|object| object.get("set")).expect("the set");
    let elements = set.get("elem").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    elements.iter().map(element).collect()
}

fn element(listed: &Value) -> (String, Element) {
    // With a time-out it is {"elem":{"val":…,"timeout":…,"expires":…}}, without it the bare value.
    match listed.get("elem") {
        Some(inner) => {
            let seconds = |key: &str| inner.get(key).and_then(Value::as_u64);
            (key(&inner["val"]), Element { timeout: seconds("timeout"), expires: seconds("expires") })
        }
        None => (key(listed), Element::default()),
    }
}

fn key(value: &Value) -> String {
    if let Some(address) = value.as_str() {
        return address.to_owned();
    }
    if let Some(prefix) = value.get("prefix") {
        return format!("{}/{}", prefix["addr"].as_str().expect("an address"), prefix["len"]);
    }
    let range = value.get("range").unwrap_or_else(|| panic!("an element of a kind not met before: {value}"));
    format!("{}-{}", range[0].as_str().expect("an address"), range[1].as_str().expect("an address"))
}
