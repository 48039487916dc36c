//! The session as the client sees it: what goes to the server, what is posted, and when.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::subscriptions::PAUSES;
use super::request::HELD;
use super::*;
use crate::model::List;

struct Talk {
    session: Session,
    gauges: Rc<Gauges>,
    now: Instant,
    out: Output,
}

impl Talk {
    fn open(login: &str) -> Talk {
        let subjects = Rc::new(Subjects::new(login, "turris").unwrap());
        let gauges = Rc::new(Gauges::default());
        let shared = login == wire::DEFAULT_LOGIN;
        let session = Session::new(
            subjects,
            Rc::clone(&gauges),
            Intake::new(1000, |_| true),
            shared,
            "_INBOX.x".into(),
            1_048_576,
        );
        let mut talk = Talk { session, gauges, now: Instant::now(), out: Output::default() };
        talk.session.open(talk.now, &mut talk.out);
        if !shared {
            talk.finds_no_hub();
        }
        talk
    }

    /// The server lets this login neither listen to a hub nor ask for one.
    fn finds_no_hub(&mut self) {
        assert_eq!(
            self.sent(),
            "SUB _INBOX.x.hub.* 8\r\nSUB diswall.hub.changes 7\r\nPUB diswall.hub.hello _INBOX.x.hub.1 1\r\n1\r\n"
        );
        self.session.pong(self.now, &mut self.out);
        for denied in ["Subscription to \"diswall.hub.changes\"", "Publish to \"diswall.hub.hello\""] {
            self.refuses(&format!("Permissions Violation for {denied}"));
            self.session.pong(self.now, &mut self.out);
        }
        assert!(self.posted().is_empty());
        let ends = b"UNSUB 8\r\nUNSUB 7\r\n";
        assert!(self.out.bytes.starts_with(ends));
        self.out.bytes.drain(..ends.len());
    }

    /// What was sent since the last call, one operation a line, without the PINGs between them.
    fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out.bytes)).unwrap().replace("PING\r\n", "")
    }

    /// So many PONGs.
    fn pongs(&mut self, count: usize) -> Vec<String> {
        for _ in 0..count {
            self.session.pong(self.now, &mut self.out);
        }
        self.posted()
    }

    fn refuses(&mut self, text: &str) -> (Blame, Vec<String>) {
        let blame = self.session.server_error(text, self.now, &mut self.out);
        (blame, self.posted())
    }

    /// What was posted since the last call, shortly.
    fn posted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out.updates).iter().map(short).collect()
    }

    fn says(&mut self, sid: u32, subject: &str, payload: &[u8]) -> Vec<String> {
        let message = Delivery { sid, subject, payload, headers: b"", status: None };
        self.session.message(&message, self.now, &mut self.out);
        self.posted()
    }

    fn says_with(&mut self, sid: u32, headers: &[u8], payload: &[u8]) -> Vec<String> {
        let message = Delivery { sid, subject: "x", payload, headers, status: None };
        self.session.message(&message, self.now, &mut self.out);
        self.posted()
    }

    fn wait(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.session.tick(self.now, &mut self.out);
        self.posted()
    }
}

fn short(update: &Update) -> String {
    match update {
        Update::Event(Event::List { list: List { v4, v6, .. }, .. }) => format!("list of {}", v4.len() + v6.len()),
        Update::Event(Event::Ban { net, lifetime: Lifetime::Seconds(seconds), .. }) => {
            format!("ban {} {seconds}", net.addr())
        }
        Update::Event(Event::Unban { net, .. }) => format!("unban {}", net.addr()),
        Update::Event(Event::AllowList { list, .. }) => format!("allow list of {}", list.len()),
        Update::Event(Event::Allow { entry, .. }) => format!("allow {}", entry.net),
        Update::Event(Event::Disallow { net, .. }) => format!("disallow {net}"),
        Update::State(FeedState::Partial { error, lost, .. }) => format!("{error}: {lost}"),
        Update::State(state) => format!("{state:?}"),
        Update::Notice { key, text } => format!("{key}: {}", text.as_deref().unwrap_or("settled")),
        other => format!("{other:?}"),
    }
}

const NEW: &str = "diswall.blacklist.new";

#[test]
fn it_subscribes_before_it_asks() {
    let mut talk = Talk::open("alice");
    assert_eq!(
        talk.sent(),
        "SUB _INBOX.x.* 6\r\nSUB diswall.blacklist.new 1\r\n\
         SUB diswall.blacklist.alice.add.* 2\r\nSUB diswall.blacklist.alice.del.* 3\r\n\
         SUB diswall.whitelist.alice.add.* 4\r\nSUB diswall.whitelist.alice.del.* 5\r\n\
         PUB diswall.blacklist.alice.init.turris _INBOX.x.b1 5\r\nempty\r\n\
         PUB diswall.whitelist.alice.init.turris _INBOX.x.a1 5\r\nempty\r\n"
    );
    let mut shared = Talk::open("default");
    assert_eq!(
        shared.sent(),
        "SUB _INBOX.x.* 6\r\nSUB diswall.blacklist.default 1\r\n\
         PUB diswall.blacklist.default.init.turris _INBOX.x.b1 5\r\nempty\r\n"
    );
    assert_eq!(shared.posted(), ["allow list of 0"]);
}

#[test]
fn what_has_a_header_is_an_answer_to_somebody_else() {
    let mut talk = Talk::open("alice");
    talk.pongs(8);
    for (sid, payload) in
        [(sid::NEW, &b"203.0.113.1|60"[..]), (sid::BLOCK_ADD, b"8.8.4.4"), (sid::ALLOW_ADD, b"8.8.4.4")]
    {
        let posted = talk.says_with(sid, b"NATS/1.0\r\nDiswall-Answer: 1\r\n\r\n", payload);
        assert!(!posted.iter().any(|event| event.starts_with("ban") || event.starts_with("allow")), "{posted:?}");
    }
}

#[test]
fn what_comes_before_the_list_outlives_it() {
    let mut talk = Talk::open("alice");
    assert!(talk.pongs(8).is_empty());
    assert_eq!(talk.says(1, NEW, b"203.0.113.1|60"), ["ban 203.0.113.1 60"]);
    assert_eq!(talk.says(3, "diswall.blacklist.alice.del.b", b"203.0.113.2"), ["unban 203.0.113.2"]);
    assert_eq!(talk.says(4, "diswall.whitelist.alice.add.b", b"192.0.2.1"), ["allow 192.0.2.1/32"]);
    assert_eq!(
        talk.says(6, "_INBOX.x.b1", b"203.0.113.2 timeout 9"),
        ["list of 1", "ban 203.0.113.1 60", "unban 203.0.113.2", "Live"]
    );
    assert_eq!(talk.says(6, "_INBOX.x.a1", b"192.0.2.0/24"), ["allow list of 1", "allow 192.0.2.1/32"]);
    // From now on nothing is posted twice, and a reply that nobody waits for is none.
    assert_eq!(talk.says(1, NEW, b"203.0.113.3|60"), ["ban 203.0.113.3 60"]);
    assert!(talk.says(6, "_INBOX.x.b1", b"").is_empty());
    assert_eq!((talk.gauges.lists.get(), talk.session.timer()), (2, None));
    // What this router takes back itself does not come back with a list that is on its way.
    talk.session.resynchronise(talk.now, &mut talk.out);
    talk.session.unban("203.0.113.3".parse().unwrap(), &mut talk.out);
    assert_eq!(talk.posted(), ["unban 203.0.113.3"]);
    assert_eq!(talk.says(6, "_INBOX.x.b2", b"203.0.113.3"), ["list of 1", "unban 203.0.113.3"]);
}

#[test]
fn more_changes_than_are_kept_mean_one_more_list() {
    let mut talk = Talk::open("alice");
    talk.pongs(8);
    for n in 0..=HELD {
        talk.says(1, NEW, format!("203.0.113.{}|60", n % 256).as_bytes());
    }
    talk.sent();
    assert_eq!(talk.says(6, "_INBOX.x.b1", b"").len(), HELD + 2);
    assert!(talk.sent().contains("_INBOX.x.b2"));
    assert_eq!(talk.says(6, "_INBOX.x.b2", b"203.0.113.1 timeout 5"), ["list of 1"]);
}

#[test]
fn an_unanswered_request_is_given_up_and_made_again() {
    let mut talk = Talk::open("alice");
    talk.pongs(8);
    talk.says(6, "_INBOX.x.a1", b"");
    talk.sent();
    assert!(talk.wait(9).is_empty());
    let said = talk.wait(1);
    assert!(said[0].starts_with("block-list: no block list: the service has not answered within 10 s"), "{said:?}");
    assert_eq!(talk.says(1, NEW, b"203.0.113.1|60"), ["ban 203.0.113.1 60"]);
    assert!(talk.says(6, "_INBOX.x.b1", b"").is_empty(), "too late");
    talk.wait(4);
    assert_eq!(talk.sent(), "PUB diswall.blacklist.alice.init.turris _INBOX.x.b2 5\r\nempty\r\n");
    // Asked after that ban: the list knows it, and settles the matter.
    assert_eq!(talk.says(6, "_INBOX.x.b2", b""), ["list of 0", "block-list: settled", "Live"]);
}

#[test]
fn a_burst_of_refusals_is_two_notices() {
    let mut talk = Talk::open("default");
    talk.says(6, "_INBOX.x.b1", b"203.0.113.1 timeout 5\nx\ny");
    talk.posted();
    assert_eq!(talk.gauges.refused_addresses.get(), 2);
    for _ in 0..100 {
        assert!(talk.says(1, "diswall.blacklist.default", b"rubbish|5").is_empty());
    }
    assert_eq!(talk.gauges.refused_messages.get(), 100);
    assert_eq!(
        talk.wait(600),
        ["refused: 100 refused within 10 min, the last: diswall.blacklist.default: \"rubbish\" is no address"]
    );
    assert_eq!(talk.wait(600), ["refused: settled"]);
    assert_eq!(talk.session.timer(), None);
}

#[test]
fn the_next_connection_settles_what_the_last_one_complained_of() {
    let mut first = Talk::open("alice");
    first.pongs(8);
    assert_eq!(first.refuses("Slow Consumer").0, Blame::Unknown);
    first.session.complain("the server says: x", &mut first.out);
    first.session.complain("the server says: y", &mut first.out);
    assert_eq!(first.posted(), ["complaint: the server says: x"]);
    first.wait(11);
    let mut second = Talk::open("alice");
    second.session.succeed(&first.session);
    second.pongs(8);
    let posted = second.says(6, "_INBOX.x.b1", b"");
    assert_eq!(posted, ["list of 0", "block-list: settled", "complaint: settled", "Live"]);
}

#[test]
fn a_reply_that_is_coming_is_waited_for() {
    let mut talk = Talk::open("default");
    for _ in 0..20 {
        talk.session.reply_may_be_coming(talk.now);
        assert!(talk.wait(9).iter().all(|posted| posted == "allow list of 0"));
    }
    assert!(talk.says(6, "_INBOX.x.b1", b"203.0.113.1 timeout 5").contains(&"list of 1".into()));
    talk.session.resynchronise(talk.now, &mut talk.out);
    talk.session.reply_may_be_coming(talk.now);
    assert!(talk.wait(10)[0].starts_with("block-list: no block list: the service has not answered"), "it stalled");
}

#[test]
fn the_shared_login_takes_nothing_under_other_numbers() {
    let mut talk = Talk::open("default");
    talk.pongs(3);
    talk.posted();
    for (sid, body) in [(2, "203.0.113.1"), (3, "203.0.113.1"), (4, "203.0.113.1"), (5, "203.0.113.1"), (7, "x")] {
        assert!(talk.says(sid, "x", body.as_bytes()).is_empty(), "{sid}");
    }
    assert_eq!(talk.gauges.refused_messages.get(), 0);
}

#[test]
fn a_server_that_says_much_is_repeated_little() {
    let mut talk = Talk::open("alice");
    let mut posted = 0;
    for n in 0..1000 {
        posted += talk.refuses(&format!("{n} {}", "x".repeat(500))).1.len();
        posted += talk.refuses("Permissions Violation for Subscription to \"diswall.blacklist.new\"").1.len();
    }
    assert_eq!(posted, 2);
    for _ in 0..100 {
        talk.wait(1);
        talk.refuses("again");
    }
    assert!(talk.session.awaited.len() < 200);
}

#[test]
fn live_is_proven_for_each_subscription() {
    let mut talk = Talk::open("alice");
    assert_eq!(talk.says(6, "_INBOX.x.b1", b"203.0.113.1"), ["list of 1"], "nothing is proven yet");
    talk.says(6, "_INBOX.x.a1", b"");
    assert!(talk.pongs(3).is_empty());
    // An error without a subject is about what the next PONG answers: the fourth subscription.
    let (blame, posted) = talk.refuses("maximum subscriptions exceeded");
    assert_eq!(blame, Blame::Known);
    let refused = "the server refuses this login: subscribe diswall.blacklist.alice.del.* (maximum subscriptions \
                   exceeded): bans taken back elsewhere stay until they end";
    assert_eq!(posted, [refused]);
    assert!(talk.pongs(5).is_empty());
    talk.sent();

    // It is tried again, and again later.
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let pause = talk.session.timer().unwrap() - talk.now;
        pauses.push(pause);
        talk.now += pause;
        assert_eq!(talk.wait(0), [refused], "the next try is at another time");
        assert_eq!(talk.sent(), "SUB diswall.blacklist.alice.del.* 3\r\n");
        talk.refuses("maximum subscriptions exceeded");
        talk.pongs(1);
    }
    assert!(pauses[0] <= PAUSES.0 && pauses[0] >= PAUSES.0 / 2, "{pauses:?}");
    assert!(pauses[11] > PAUSES.0 && pauses.iter().all(|pause| *pause <= PAUSES.1), "{pauses:?}");

    // At once when the owner says so; then what was missed comes with a new list.
    talk.session.resynchronise(talk.now, &mut talk.out);
    assert!(talk.sent().starts_with("SUB diswall.blacklist.alice.del.* 3\r\nPUB diswall.blacklist.alice.init"));
    assert_eq!(talk.posted(), [refused]);
    assert_eq!(talk.pongs(1), ["Synchronising"]);
    assert_eq!(talk.says(6, "_INBOX.x.b2", b""), ["list of 0"], "it may be older than the subscription");
    assert!(talk.sent().contains("_INBOX.x.b3"));
    assert_eq!(talk.says(6, "_INBOX.x.b3", b""), ["list of 0", "Live"]);
    assert_eq!(talk.session.timer().map(|timer| timer > talk.now), Some(true), "the allow list's answer");
}

#[test]
fn a_permission_that_is_taken_away_and_given_back() {
    let mut talk = Talk::open("alice");
    talk.pongs(8);
    talk.says(6, "_INBOX.x.b1", b"");
    talk.says(6, "_INBOX.x.a1", b"");
    talk.sent();
    let taken = "Permissions Violation for Subscription to \"diswall.blacklist.new\" (sid \"1\")";
    let (blame, posted) = talk.refuses(taken);
    assert_eq!(blame, Blame::Known);
    assert_eq!(
        posted,
        ["the server refuses this login: subscribe diswall.blacklist.new (denied): new bans do not arrive"]
    );
    talk.wait(4);
    assert_eq!(talk.sent(), "SUB diswall.blacklist.new 1\r\n");
    assert_eq!(talk.pongs(1), ["Synchronising"]);
    assert!(talk.sent().contains("PUB diswall.blacklist.alice.init.turris _INBOX.x.b2"));
    assert_eq!(talk.says(6, "_INBOX.x.b2", b""), ["list of 0", "Live"]);

    // The inbox: no request is made that cannot be answered.
    let (_, posted) = talk.refuses("Permissions Violation for Subscription to \"_INBOX.x.*\" (sid \"6\")");
    assert!(posted[0].contains("subscribe _INBOX.> (denied): no list can arrive"), "{posted:?}");
    talk.sent();
    talk.wait(4);
    assert_eq!(talk.sent(), "SUB _INBOX.x.* 6\r\n");
    talk.pongs(3);
    assert!(talk.sent().contains("PUB diswall.blacklist.alice.init.turris"));

    // The right to ask, seen when it is used: at a later request.
    let denied = "Permissions Violation for Publish to \"diswall.blacklist.alice.init.turris\"";
    let (_, posted) = talk.refuses(denied);
    assert!(posted[0].ends_with("publish diswall.blacklist.alice.init.turris (denied): the block list does not come"));
    talk.pongs(2);
    talk.wait(120);
    talk.pongs(1);
    let posted = talk.says(6, &talk.session.block.reply.clone(), b"");
    assert_eq!(posted, ["list of 0", "Live"]);

    let shared = "Permissions Violation for Publish to \"diswall.stats.alice.add.turris\"";
    assert_eq!(talk.refuses(shared), (Blame::Publish, vec![]));
    let other = "Permissions Violation for Publish to \"elsewhere\"";
    assert_eq!(talk.refuses(other), (Blame::Unknown, vec![]));
}

/// A server that works off what it is sent in order, as it likes.
struct Server {
    talk: Talk,
    /// What it was sent and has not looked at.
    sent: VecDeque<String>,
    /// The subscriptions that it serves.
    served: BTreeSet<u32>,
    state: String,
}

impl Server {
    fn new(login: &str) -> Server {
        let talk = Talk::open(login);
        Server { talk, sent: VecDeque::new(), served: BTreeSet::new(), state: "Synchronising".into() }
    }

    /// Takes what the session has sent, and follows what it has posted.
    fn hear(&mut self) {
        let bytes = String::from_utf8(std::mem::take(&mut self.talk.out.bytes)).unwrap();
        self.sent.extend(bytes.split_terminator("\r\n").filter(|line| *line != "empty").map(str::to_owned));
        for update in std::mem::take(&mut self.talk.out.updates) {
            if let Update::State(state) = &update {
                self.state = short(&update);
                // The point of it all.
                assert!(*state != FeedState::Live || self.served.len() == self.all(), "live with {:?}", self.served);
            }
        }
    }

    fn all(&self) -> usize {
        if self.talk.session.shared_login { 2 } else { 6 }
    }

    fn says(&mut self, text: &str) {
        self.talk.session.server_error(text, self.talk.now, &mut self.talk.out);
        self.hear();
    }

    /// Works off one thing: 0 refuses it by name, 1 without, 2 takes a request and does not answer it.
    fn work(&mut self, how: u8) {
        self.hear();
        let Some(line) = self.sent.pop_front() else { return };
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), how) {
            (["PING"], _) => {
                self.talk.session.pong(self.talk.now, &mut self.talk.out);
            }
            (_, 1) => self.says("refused"),
            (["SUB", subject, _], 0) => self.says(&format!("Permissions Violation for Subscription to \"{subject}\"")),
            (["SUB", _, sid], _) => drop(self.served.insert(sid.parse().unwrap())),
            (["PUB", subject, ..], 0) => self.says(&format!("Permissions Violation for Publish to \"{subject}\"")),
            (["PUB", _, reply, _], 3..) if self.served.contains(&sid::INBOX) => {
                let message = Delivery { sid: sid::INBOX, subject: reply, payload: b"", headers: b"", status: None };
                self.talk.session.message(&message, self.talk.now, &mut self.talk.out);
            }
            _ => {}
        }
        self.hear();
    }

    fn take_away(&mut self, sid: u32) {
        let name = |each: &(u32, String)| each.0 == sid;
        let subjects = Rc::clone(&self.talk.session.subjects);
        let all = [
            (sid::NEW, subjects.new.clone()),
            (sid::BLOCK_ADD, subjects.block_adds.clone()),
            (sid::ALLOW_DEL, subjects.allow_dels.clone()),
            (sid::INBOX, "_INBOX.x.*".into()),
        ];
        if self.served.remove(&sid)
            && let Some((_, subject)) = all.into_iter().find(name)
        {
            self.says(&format!("Permissions Violation for Subscription to \"{subject}\" (sid \"{sid}\")"));
        }
    }
}

proptest! {
    #[test]
    fn live_is_true_and_comes_in_the_end(
        own in any::<bool>(),
        steps in prop::collection::vec((0_u8..12, 0_u64..130), 0..120),
    ) {
        let mut server = Server::new(if own { "alice" } else { "default" });
        for (step, seconds) in steps {
            match step {
                0..=5 => server.work(step),
                6 => server.work(9),
                7 => {
                    server.talk.now += Duration::from_secs(seconds);
                    server.talk.session.tick(server.talk.now, &mut server.talk.out);
                }
                8 => server.talk.session.resynchronise(server.talk.now, &mut server.talk.out),
                9 => server.take_away(sid::NEW),
                10 => server.take_away(sid::INBOX),
                _ => server.take_away(if seconds % 2 == 0 { sid::ALLOW_DEL } else { sid::BLOCK_ADD }),
            }
            server.hear();
        }
        // From now on everything is permitted, and time passes.
        for _ in 0..60 {
            server.hear();
            while !server.sent.is_empty() {
                server.work(9);
            }
            let Some(due) = server.talk.session.timer() else { break };
            server.talk.now = server.talk.now.max(due);
            server.talk.session.tick(server.talk.now, &mut server.talk.out);
        }
        server.hear();
        prop_assert_eq!(server.state, "Live");
        prop_assert!(server.talk.session.awaited.is_empty() && server.talk.session.timer().is_none());
    }
}
