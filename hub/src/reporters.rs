//! Whom the hub knows: a login is trusted from the first word on, until somebody revokes it.

use crate::error::{Error, Result};
use crate::store::{Put, Store};

/// Notes that the login is there. `false`: it is revoked.
///
/// # Errors
/// nats-server is away or says no.
pub async fn hear(store: &Store, login: &str, now: u64) -> Result<bool> {
    if let Some(record) = store.reporters.held(login).await? {
        return Ok(!revoked(&record.value));
    }
    match store.reporters.put(login, format!("trusted|{now}"), Put { ttl: None, expected: Some(0) }).await {
        // Somebody noted it meanwhile, or revoked it.
        Err(Error::Conflict) => Ok(!is_revoked(store, login).await?),
        result => result.map(|_| true),
    }
}

/// Whether nothing that it says counts.
///
/// # Errors
/// nats-server is away or says no.
pub async fn is_revoked(store: &Store, login: &str) -> Result<bool> {
    Ok(store.reporters.held(login).await?.is_some_and(|record| revoked(&record.value)))
}

/// What the record of a login says.
pub fn revoked(value: &[u8]) -> bool {
    value.starts_with(b"revoked")
}
