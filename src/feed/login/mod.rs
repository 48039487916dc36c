//! Failed log-ins: what programs write into the log about those who guess passwords.
//!
//! `follow` brings lines, `line` finds their program, `pattern` and `known` find the address in them,
//! `sessions` what they add to what is known of a session, `judge` joins these, `attempts` counts, and `settings` says
//! which. Only `follow` does I/O; `logins` joins them all and posts what follows.

pub mod attempts;
pub mod follow;
pub mod judge;
pub mod known;
pub mod line;
pub mod logins;
pub mod pattern;
pub mod sessions;
pub mod settings;

pub use attempts::Attempts;
pub use follow::Follower;
pub use judge::Judge;
pub use line::Line;
pub use logins::{Logins, Place, each_watch};
pub use pattern::Pattern;
pub use settings::{LogSource, Logwatch, Proving, Settings};
