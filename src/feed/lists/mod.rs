//! Lists of addresses and networks: fetched now and then, and in force as the configuration says.
//!
//! `settings` is a list's section of the configuration; `client` its task, which fetches it, judges what came
//! (`judge`) and posts it as a whole; `names` follows those of a list of host names; `store` keeps it over a restart.
//! `Context` is what all lists have in common.
//! [`mod@format`] says what forms lists have, [`read`] turns the bytes of one into ranges, as they come; both are pure.

mod client;
pub mod format;
mod gzip;
mod judge;
mod line;
mod names;
mod places;
pub mod read;
pub mod settings;
mod store;
mod tags;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::Semaphore;

pub use client::start;
pub use format::Format;
pub use names::MOST as NAMES_MAX;
pub use read::{Item, Reader, Summary, Verdict};
pub use settings::Settings;
pub use store::clear as forget;

use crate::model::Source;
use crate::own;
use crate::resolver::Pace;

/// Takes away what was kept of lists that are gone, or are kept elsewhere now.
pub fn clear(lists: &[Settings], state_dir: &Path) {
    let wanted: Vec<PathBuf> =
        lists.iter().map(|list| store::path(list.directory(state_dir), list.source.name())).collect();
    forget(state_dir, &wanted);
    forget(Path::new(own::KEPT), &wanted);
}

/// What lists have in common: they are fetched one after the other, and what one may hold depends on the others.
#[derive(Debug)]
pub struct Context {
    turn: Semaphore,
    rooms: RefCell<Vec<(Source, u64)>>,
    own: RefCell<Vec<IpAddr>>,
    pace: Rc<Pace>,
}

impl Default for Context {
    fn default() -> Context {
        let pace = Rc::new(names::pace());
        Context { turn: Semaphore::new(1), rooms: RefCell::default(), own: RefCell::default(), pace }
    }
}

impl Context {
    /// How much room there is for each list ([`Size::room`](crate::model::entries::Size::room)).
    pub fn set_rooms(&self, rooms: Vec<(Source, u64)>) {
        self.rooms.replace(rooms);
    }

    /// The router's own addresses, which no good list has.
    pub fn set_own(&self, addresses: Vec<IpAddr>) {
        self.own.replace(addresses);
    }

    fn room(&self, source: Source) -> u64 {
        self.rooms.borrow().iter().find(|(each, _)| *each == source).map_or(0, |(_, room)| *room)
    }
}
