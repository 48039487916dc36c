//! End-to-end tests on real parts: the real kernel in a network namespace per test, the real `nft` as
//! the judge, real publishers and servers. They need root; `cargo xtask test` installs what they use.
//! One crate, so that it links once: a module per topic, helpers in `support`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

mod abuseipdb;
mod catalogue;
mod configuration;
mod conntrack;
mod control;
mod crowdsec;
mod daemon;
mod dynfw;
mod fail2ban;
mod firewall;
mod flows;
mod forged;
mod former;
mod hub;
mod installed;
mod key;
mod lacking;
mod lists;
mod lists_fetch;
mod lists_mangled;
mod lists_names;
mod lists_read;
mod lists_tags;
mod login;
mod memory;
mod moved;
mod namespaces;
mod nats;
mod outside;
mod owner;
mod packets;
mod parts;
mod pots;
mod report;
mod rules;
mod scan;
mod shells;
mod surroundings;
mod witness;
