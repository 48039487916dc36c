//! The services whose failed log-ins are known without being told, out of the table `patterns.txt`.
//!
//! The build leaves out of the table what is for readers; this reads the rest when it is asked. Used by the
//! configuration (which services there are), by `judge`, and by the fuzzing of patterns.

/// What `build.rs` made of the table: a letter and its text on each line.
const TABLE: &str = include_str!(concat!(env!("OUT_DIR"), "/patterns"));

/// A service: what the configuration and the ban's reason call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, and DisWall's tag for it where DisWall has one (docs/protocols.md section 2).
    pub name: &'static str,
    /// It is looked for only where the owner names it.
    pub preset: bool,
    /// `22/tcp` and the like, separated by blanks.
    ports: &'static str,
    /// The lines of one try have no more than the address in common.
    pub by_address: bool,
    /// Its sentences.
    pub sentences: Vec<Sentence>,
}

/// How a sentence counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// A try, told by one of three: each tells the same tries.
    Try(Voice),
    /// A session without success: at least one try.
    Session,
    /// A key of a session; many are a try.
    Key,
    /// A try without an address.
    Held,
    /// The end of a session, with the address.
    Ends,
    /// A try of which only the server is guilty.
    Not,
    /// Somebody was let in.
    Success,
}

/// Who tells of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The program itself.
    Own,
    /// PAM, or whoever stands in for it.
    Pam,
    /// A third.
    Event,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The programs that write it, separated by blanks; `ovpn-` stands for all whose names begin so.
    pub programs: &'static str,
    /// How it counts.
    pub counts: Counts,
    /// As the table has it; `<?…?>` around what may be missing.
    pub pattern: &'static str,
}

impl Sentence {
    /// What [`super::Pattern::sentence`] takes: the pattern with each of its `<?…?>` and without.
    pub fn each(&self, each: &mut dyn FnMut(&str)) {
        with_and_without(self.pattern, each);
    }
}

fn with_and_without(pattern: &str, each: &mut dyn FnMut(&str)) {
    let Some((before, (inside, after))) =
        pattern.split_once("<?").and_then(|(before, rest)| Some((before, rest.split_once("?>")?)))
    else {
        return each(pattern);
    };
    with_and_without(&[before, inside, after].concat(), each);
    with_and_without(&[before, after].concat(), each);
}

impl Service {
    /// Its ports over TCP (`true`) or UDP.
    pub fn ports(&self, tcp: bool) -> Vec<u16> {
        let kind = if tcp { "/tcp" } else { "/udp" };
        self.ports.split(' ').filter_map(|port| port.strip_suffix(kind)?.parse().ok()).collect()
    }
}

/// The name of every service, and whether it is a preset.
pub fn names() -> impl Iterator<Item = (&'static str, bool)> {
    TABLE.lines().filter_map(head).map(|(name, _, preset)| (name, preset))
}

/// Whether log-ins at the service of that name may come by UDP.
pub fn by_udp(name: &str) -> bool {
    TABLE.lines().filter_map(head).any(|(found, ports, _)| found == name && ports.contains("/udp"))
}

/// The service or preset of that name.
pub fn service(name: &str) -> Option<Service> {
    let mut lines = TABLE.lines().skip_while(|line| head(line).is_none_or(|(found, _, _)| found != name));
    let (name, ports, preset) = head(lines.next()?)?;
    let mut service = Service { name, preset, ports, by_address: false, sentences: Vec::new() };
    let mut programs = "";
    for line in lines.take_while(|line| head(line).is_none()) {
        let Some((letter, text)) = line.split_at_checked(1) else { continue };
        match letter {
            "P" => programs = text,
            "J" => service.by_address = text == "address",
            _ => service.sentences.extend(counts(letter).map(|counts| Sentence { programs, counts, pattern: text })),
        }
    }
    Some(service)
}

/// A service's name, its ports, and whether it is a preset.
fn head(line: &'static str) -> Option<(&'static str, &'static str, bool)> {
    let text = line.strip_prefix(['S', 'O'])?;
    let (name, ports) = text.split_once(' ').unwrap_or((text, ""));
    Some((name, ports, line.starts_with('O')))
}

fn counts(letter: &str) -> Option<Counts> {
    Some(match letter {
        "t" => Counts::Try(Voice::Own),
        "p" => Counts::Try(Voice::Pam),
        "e" => Counts::Try(Voice::Event),
        "s" => Counts::Session,
        "k" => Counts::Key,
        "h" => Counts::Held,
        "x" => Counts::Ends,
        "n" => Counts::Not,
        "y" => Counts::Success,
        _ => return None,
    })
}
