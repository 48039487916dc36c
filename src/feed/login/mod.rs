//! Failed log-ins: what other programs write into the log about those who guess passwords.
//!
//! `follow` brings lines, `line` finds their program, `pattern` and `known` find the address in them, and
//! `attempts` counts. Only `follow` does I/O; the daemon's `logins` joins them and posts what follows.

pub mod attempts;
pub mod dropbear;
pub mod follow;
pub mod known;
pub mod line;
pub mod pattern;

pub use attempts::Attempts;
pub use follow::Follower;
pub use line::Line;
pub use pattern::Pattern;
