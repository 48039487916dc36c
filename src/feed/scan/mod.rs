//! Scans: who touches a closed port.
//!
//! `packet` reads the first bytes of a packet, `detect` judges touches by port and number, and `scans` joins that
//! with what is known of the sender and posts what follows; `settings` is what they go by. Pure but for one look at the system's ports; packets come
//! from the daemon's `packets`.

pub mod detect;
pub mod packet;
pub mod scans;
pub mod settings;

pub use detect::{Detector, Finding};
pub use packet::{Touch, Unread};
pub use scans::Scans;
pub use settings::Settings;
