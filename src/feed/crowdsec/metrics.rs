//! What a local API that wants it is told of this router every half an hour (`POST /v1/usage-metrics`, since CrowdSec
//! 1.6.3): how much was dropped because of its decisions, and how many are in force. Numbers alone, no address.

use std::time::Duration;

use tokio::time::Instant;

use super::lapi::{self, NoAnswer};
use super::settings::Settings;
use crate::calendar;
use crate::feed::Gauges;

/// Time between two reports.
const EVERY: Duration = Duration::from_secs(1800);

/// See the module's head.
pub struct Metrics {
    /// `None`: the local API does not want them.
    due: Option<Instant>,
    /// Unix seconds.
    started: u64,
    told: u64,
    /// Packets and bytes that have been told.
    dropped: (u64, u64),
}

impl Metrics {
    /// The first report comes after half an hour.
    pub fn new(wanted: bool) -> Metrics {
        let started = calendar::now();
        Metrics { due: wanted.then(|| Instant::now() + EVERY), started, told: started, dropped: (0, 0) }
    }

    /// Reports if it is time. What goes wrong is no trouble of the feed's: the next report has it all.
    pub async fn tell(&mut self, settings: &Settings, gauges: &Gauges) {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        let (now, dropped) = (calendar::now(), gauges.dropped.get());
        let text = self.text(now, dropped, gauges.entries.get());
        let outcome = lapi::ask(settings, "v1/usage-metrics", Some(&text), &mut |_| true).await;
        self.due = Some(Instant::now() + EVERY);
        match outcome {
            Ok(()) => (self.told, self.dropped) = (now, dropped),
            Err(NoAnswer::Status(404)) => self.due = None,
            Err(_) => {}
        }
    }

    fn text(&self, now: u64, (packets, bytes): (u64, u64), entries: u64) -> String {
        let item = |name: &str, unit: &str, value: u64| {
            let value = value.to_string();
            [r#"{"name":""#, name, r#"","unit":""#, unit, r#"","labels":{},"value":"#, &value, "}"].concat()
        };
        // Counters begin anew with the firewall's table.
        let since = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        let items = [
            item("dropped", "packet", since(packets, self.dropped.0)),
            item("dropped", "byte", since(bytes, self.dropped.1)),
            item("active_decisions", "ip", entries),
        ];
        [
            r#"{"remediation_components":[{"name":"diswall","type":"diswall","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","feature_flags":[],"utc_startup_timestamp":"#,
            &self.started.to_string(),
            r#","metrics":[{"meta":{"window_size_seconds":"#,
            &now.saturating_sub(self.told).to_string(),
            r#","utc_now_timestamp":"#,
            &now.to_string(),
            r#"},"items":["#,
            &items.join(","),
            "]}]}]}",
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_form_that_the_local_api_describes() {
        let metrics = Metrics { due: None, started: 1000, told: 2000, dropped: (5, 700) };
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let report = read(&metrics.text(3800, (12, 900), 40));
        let component = &report["remediation_components"][0];
        assert_eq!(component["type"], "diswall");
        assert_eq!((&component["utc_startup_timestamp"], &component["feature_flags"]), (&1000.into(), &read("[]")));
        assert_eq!(component["metrics"][0]["meta"], read(r#"{"window_size_seconds":1800,"utc_now_timestamp":3800}"#));
        let items = component["metrics"][0]["items"].as_array().unwrap();
        let told: Vec<_> =
            items.iter().map(|item| (item["name"].as_str(), item["unit"].as_str(), &item["value"])).collect();
        assert_eq!(
            told,
            [
                (Some("dropped"), Some("packet"), &7.into()),
                (Some("dropped"), Some("byte"), &200.into()),
                (Some("active_decisions"), Some("ip"), &40.into()),
            ]
        );
        let anew = read(&metrics.text(3800, (2, 30), 40));
        assert_eq!(anew["remediation_components"][0]["metrics"][0]["items"][0]["value"], 2);
    }
}
