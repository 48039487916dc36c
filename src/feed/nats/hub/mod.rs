//! A hub of one's own behind the NATS server: its words (`wire`), the list it keeps (`snapshot`), and what
//! routers tell one another while it is away (`peers`).
//!
//! Pure, without a socket; `session` alone calls it. What is on the wire: docs/protocols.md section 3.

pub mod peers;
pub mod snapshot;
pub mod wire;
