//! The router's own eyes: who touches a closed port.
//!
//! Pure: `packet` reads the first bytes of a packet, `detect` judges touches by port and number. It has
//! no socket and no clock; the daemon's `eyes` feeds it from NFLOG and posts what follows.

pub mod detect;
pub mod packet;

pub use detect::{Detector, Finding};
pub use packet::{Touch, Unread};
