//! A session that follows a hub, without a server: gaps, silence, lies.

use super::super::request::HELD;
use super::*;
use crate::feed::intake::Intake;

struct Talk {
    session: Session,
    gauges: Rc<Gauges>,
    now: Instant,
    out: Output,
}

fn eob(pending: u64) -> String {
    format!("NATS/1.0 204\r\nNats-Num-Pending: {pending}\r\n\r\n")
}

impl Talk {
    /// A hub at sequence 5 with a list of one, at a login that is followed by it.
    fn open() -> Talk {
        let subjects = Rc::new(Subjects::new("alice", "turris").unwrap());
        let gauges = Rc::new(Gauges::default());
        let intake = Intake::new(1000, |address| !address.is_loopback());
        let session = Session::new(subjects, Rc::clone(&gauges), intake, false, "_INBOX.x".into(), 1_048_576);
        let mut talk = Talk { session, gauges, now: Instant::now(), out: Output::default() };
        talk.session.open(talk.now, &mut talk.out);
        talk.greet(5);
        talk.entry(5, "203.0.113.1");
        talk.answer(&eob(0), b"", Some(204));
        talk.says(sid::INBOX, "_INBOX.x.a1", b"");
        talk.pongs();
        assert_eq!(talk.posted().last().map(String::as_str), Some("State(Live)"));
        talk.sent();
        talk
    }

    fn greet(&mut self, sequence: u64) {
        let hello = format!("diswall-hub 1\nseq {sequence}\ntime 1795834000\nheartbeat 5\n");
        self.answer("", hello.as_bytes(), None);
    }

    fn pongs(&mut self) {
        while !self.session.awaited.is_empty() {
            self.session.pong(self.now, &mut self.out);
        }
    }

    fn message(&mut self, sid: u32, subject: &str, headers: &str, payload: &[u8], status: Option<u16>) {
        let message = Delivery { sid, subject, payload, headers: headers.as_bytes(), status };
        self.session.message(&message, self.now, &mut self.out);
    }

    /// The answer to what the hub or its server was asked last.
    fn answer(&mut self, headers: &str, payload: &[u8], status: Option<u16>) {
        let subject = self.session.hub.reply.clone();
        self.message(sid::HUB_INBOX, &subject, headers, payload, status);
    }

    fn entry(&mut self, sequence: u64, address: &str) {
        let headers = format!(
            "NATS/1.0\r\nNats-Subject: $KV.diswall_bans.v4.{address}\r\nNats-Sequence: {sequence}\r\n\
             Nats-Time-Stamp: 2026-11-28T02:44:58Z\r\n\r\n"
        );
        self.answer(&headers, b"900|ssh|1", None);
    }

    fn says(&mut self, sid: u32, subject: &str, payload: &[u8]) -> Vec<String> {
        self.message(sid, subject, "", payload, None);
        self.posted()
    }

    fn tells(&mut self, text: &str) -> Vec<String> {
        self.says(sid::CHANGES, words::CHANGES, text.as_bytes())
    }

    fn wait(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.session.tick(self.now, &mut self.out);
        self.posted()
    }

    fn posted(&mut self) -> Vec<String> {
        let short = |update: Update| match update {
            Update::Event(Event::Ban { net, .. }) => format!("ban {}", net.addr()),
            Update::Event(Event::Unban { net, .. }) => format!("unban {}", net.addr()),
            Update::Event(Event::List { list, .. }) => format!("list of {}", list.v4.len()),
            other => format!("{other:?}"),
        };
        std::mem::take(&mut self.out.updates).into_iter().map(short).collect()
    }

    fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out.bytes)).unwrap().replace("PING\r\n", "")
    }
}

#[test]
fn changes_count_by_their_sequence() {
    let mut talk = Talk::open();
    assert_eq!(
        talk.tells("5 7 1795834001\n+203.0.113.2 60 ssh\n-203.0.113.1\n"),
        ["ban 203.0.113.2", "unban 203.0.113.1"]
    );
    assert!(talk.tells("5 7 1795834001\n+203.0.113.3 60 again\n").is_empty(), "told before");
    assert!(talk.tells("7 7 1795834002\n").is_empty());
    assert_eq!(talk.tells("6 8 1795834002\n+203.0.113.4 60\n"), ["ban 203.0.113.4"], "it overlaps");
    assert!(talk.tells("8 9 1795834002\n").is_empty(), "nothing that matters to routers");
    assert_eq!(talk.gauges.resyncs.get(), 0);

    // What fails to be told is asked for, and only that; what comes meanwhile is posted behind it again.
    assert_eq!(talk.tells("12 13 1795834003\n+203.0.113.5 60 ssh\n"), ["ban 203.0.113.5"]);
    assert_eq!(talk.sent(), "");
    talk.wait(3);
    assert!(talk.sent().contains(r#"{"seq":10,"batch":"#));
    assert_eq!(talk.tells("13 14 1795834003\n-203.0.113.6\n"), ["unban 203.0.113.6"]);
    talk.entry(11, "203.0.113.6");
    talk.entry(13, "203.0.113.5");
    talk.answer(&eob(0), b"", Some(204));
    assert_eq!(talk.posted(), ["ban 203.0.113.6", "ban 203.0.113.5", "unban 203.0.113.6"]);
    assert_eq!(talk.gauges.resyncs.get(), 1);
    talk.wait(4);
    assert_eq!(talk.sent(), "", "nothing lacks any more");
}

#[test]
fn a_server_that_lags_is_asked_again_and_no_more_than_thrice() {
    let mut talk = Talk::open();
    talk.session.resynchronise(talk.now, &mut talk.out);
    talk.greet(50);
    talk.entry(40, "203.0.113.1");
    talk.answer(&eob(0), b"", Some(204));
    assert_eq!(talk.posted(), ["list of 1"]);
    for _ in 0..3 {
        talk.sent();
        talk.wait(1);
        assert!(talk.sent().contains(r#"{"seq":41,"#));
        talk.answer("NATS/1.0 404\r\n\r\n", b"", Some(404));
    }
    talk.wait(4);
    assert_eq!(talk.sent(), "", "what had that number may have ended");
}

#[test]
fn a_stream_that_begins_anew_means_a_new_list() {
    let mut talk = Talk::open();
    talk.tells("2 2 1795834001\n");
    talk.wait(4);
    assert_eq!(talk.sent(), "", "a late one");
    talk.tells("2 3 1795834001\n+203.0.113.2 60 ssh\n");
    talk.wait(4);
    assert!(talk.sent().contains("PUB diswall.hub.hello"));
    talk.greet(3);
    talk.entry(3, "203.0.113.2");
    talk.answer(&eob(0), b"", Some(204));
    assert!(talk.posted().contains(&"list of 1".into()));
    assert_eq!(talk.tells("3 4 1795834002\n+203.0.113.3 60\n"), ["ban 203.0.113.3"]);
}

#[test]
fn a_stream_that_is_another_means_a_new_list_whatever_its_sequence() {
    let mut talk = Talk::open();
    let born = |talk: &mut Talk, born: u64, text: &str| {
        let headers = format!("NATS/1.0\r\nDiswall-Born: {born}\r\n\r\n");
        talk.message(sid::CHANGES, words::CHANGES, &headers, text.as_bytes(), None);
        talk.posted()
    };
    assert_eq!(born(&mut talk, 7, "5 6 1795834001\n+203.0.113.2 60\n"), ["ban 203.0.113.2"]);
    assert!(born(&mut talk, 8, "6 9 1795834001\n+203.0.113.3 60\n").is_empty());
    talk.wait(4);
    assert!(talk.sent().contains("PUB diswall.hub.hello"));
    talk.answer("", b"diswall-hub 1\nseq 9\nborn 8\ntime 1795834000\n", None);
    assert!(talk.sent().contains(r#"{"seq":1,"#));
    let revoked = "NATS/1.0\r\nNats-Subject: $KV.diswall_bans.revoked.bob\r\nNats-Sequence: 8\r\n\r\n";
    talk.answer(revoked, b"1795834000", None);
    talk.entry(9, "203.0.113.3");
    talk.answer(&eob(0), b"", Some(204));
    assert_eq!(talk.posted(), ["list of 1"]);
    assert_eq!(born(&mut talk, 8, "9 10 1795834002\n+203.0.113.4 60\n"), ["ban 203.0.113.4"]);
    assert_eq!(talk.gauges.refused_addresses.get(), 0);
    talk.wait(15);
    let report = |talk: &mut Talk, login: &str| {
        talk.says(sid::REPORTS, &format!("diswall.blacklist.{login}.add.attic"), b"203.0.113.9")
    };
    talk.pongs();
    assert!(report(&mut talk, "bob").is_empty() && report(&mut talk, "carol").is_empty());
    assert_eq!(report(&mut talk, "dave"), ["ban 203.0.113.9"]);
}

#[test]
fn a_silent_hub_is_away_until_it_says_something() {
    let mut talk = Talk::open();
    assert!(talk.wait(14).is_empty());
    let said = talk.wait(1);
    assert!(said.len() == 1 && said[0].contains("has said nothing for 15 s"), "{said:?}");
    assert_eq!(talk.sent(), "SUB diswall.blacklist.*.add.* 9\r\n");
    talk.pongs();
    let report = |talk: &mut Talk, login: &str, body: &str| {
        talk.says(sid::REPORTS, &format!("diswall.blacklist.{login}.add.attic"), body.as_bytes())
    };
    for (login, body) in [
        ("bob", "203.0.113.9"),
        ("bob", "203.0.113.9"),
        ("alice", "203.0.113.9"),
        ("bob", "127.0.0.1"),
        ("carol", "127.0.0.1"),
    ] {
        assert!(report(&mut talk, login, body).is_empty(), "{login} {body}");
    }
    assert_eq!(report(&mut talk, "carol", "203.0.113.9|ssh"), ["ban 203.0.113.9"]);
    assert_eq!(talk.tells("5 6 1795834099\n+203.0.113.2 60 ssh\n"), ["State(Live)", "ban 203.0.113.2"]);
    assert!(talk.sent().starts_with("UNSUB 9\r\n"));
    assert!(report(&mut talk, "dave", "203.0.113.9").is_empty());
}

#[test]
fn nothing_that_is_said_makes_it_large_or_busy() {
    let mut talk = Talk::open();
    let line = "+203.0.113.2 60 ssh\n";
    let long = format!("5 6 1795834001\n{}", line.repeat(words::CHANGES_MAX / line.len() + 1));
    let said = talk.tells(&long);
    assert!(said.len() == 1 && said[0].contains("at most 512 KiB"), "{said:?}");
    for bad in ["", "6 5 0\n", "x\n", "5 6\n+203.0.113.2 60\n", "5 99999999999999999999 0\n"] {
        assert!(talk.tells(bad).is_empty(), "{bad}");
    }
    // A number that no stream reaches: then all that is true comes before it, and means a new list.
    talk.tells(&format!("5 {} 0\n", u64::MAX));
    let mut asked = 0;
    for n in 0..600 {
        talk.tells(&format!("{n} {n} 0\n"));
        talk.wait(1);
        if talk.sent().contains("PUB") {
            asked += 1;
            talk.answer("", b"rubbish", None);
        }
    }
    assert!((2..60).contains(&asked), "{asked} questions within ten minutes");
    let said = talk.tells("5 6 0\n+10.0.0.0/8 60\n+203.0.113.2 0\n203.0.113.2\n\u{0}\n");
    assert!(said.iter().all(|line| !line.starts_with("ban")), "{said:?}");
    assert!(talk.session.block.held.len() <= HELD);
}
