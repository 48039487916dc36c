//! Whether somebody whom a log accuses was there at all: a line is a hint, the kernel's record of who talked
//! to whom is the proof.
//!
//! Asks for one address at a time, and only where the settings or the log's kind want it. The feed of
//! failed log-ins has it asked before it counts, by `offences`.

use std::net::IpAddr;

use crate::feed::login::Place;
use crate::feed::login::Proving;
use crate::firewall::{Claim, Proof, Witness};
use crate::limiter;

/// `IPPROTO_TCP` and `IPPROTO_UDP`.
const PROTOCOLS: [u8; 2] = [6, 17];

/// Seconds for which an answer is taken to whether a service is served here: services come and go slowly.
const SERVED: u64 = 60;

/// See the module's head.
#[derive(Default)]
pub struct Prover {
    witness: Witness,
    proving: Proving,
    trouble: Option<String>,
}

impl Prover {
    /// Goes by this setting from now on.
    pub fn configure(&mut self, proving: Proving) {
        if self.proving != proving {
            self.proving = proving;
            self.trouble = None;
        }
    }

    /// Why the kernel cannot be asked, as a sentence.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// May a failure of this address, from this port of his, count? `now` in seconds since the machine's start.
    pub fn is_proven(&mut self, now: u64, address: IpAddr, port: Option<u16>, place: &mut Place) -> bool {
        if self.proving == Proving::Never {
            return true;
        }
        let served = self.is_served(now, place);
        // A file may be the log of a machine whose connections do not come through here.
        if place.file && self.proving == Proving::Auto && !served {
            return true;
        }
        let [tcp, udp] = place.ports.each_ref().map(|ports| !ports.is_empty());
        // His own port tells enough; and a service that does not wait at its usual ports waits at others.
        let ports = if served && port.is_none() { place.ports.concat() } else { Vec::new() };
        let claim = Claim { address, client_port: port, ports: &ports, tcp: tcp || !udp, udp: udp || !tcp };
        let answer = self.witness.saw(now, &claim);
        if !matches!(answer, Proof::Unknown(_)) {
            // It was too many at once, say.
            self.trouble = None;
        }
        match answer {
            Proof::Yes => true,
            Proof::No => {
                log::debug!("login: {address} is not counted: the kernel knows of no connection from it");
                false
            }
            Proof::Unknown(why) => {
                if self.trouble.is_none() {
                    limiter::warn(("login", "proof"), || format!("login: whom logs accuse cannot be proven: {why}"));
                }
                self.trouble = Some(format!("whether those whom logs accuse were there cannot be proven: {why}"));
                false
            }
        }
    }

    fn is_served(&mut self, now: u64, place: &mut Place) -> bool {
        if let Some((served, _)) = place.served.filter(|(_, until)| *until > now) {
            return served;
        }
        let mut kinds = PROTOCOLS.into_iter().zip(&place.ports).filter(|(_, ports)| !ports.is_empty());
        let served = kinds.any(|(protocol, ports)| self.witness.is_waited_at(protocol, ports) == Some(true));
        place.served = Some((served, now + SERVED));
        served
    }
}
