//! Who has logged in: a random cookie each, and a random word that the page's own forms send along.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};

use crate::users;

/// How long one lasts.
const LENGTH: Duration = Duration::from_secs(12 * 3600);

/// Sessions at a time; the oldest gives way.
const MOST: usize = 64;

/// What a wrong token costs, one after the other.
const PENALTY: Duration = Duration::from_secs(1);

/// Shorter ones could be guessed.
const TOKEN_MIN: usize = 16;

const COOKIE: &str = "diswall-hub";

struct Session {
    form: String,
    since: Instant,
}

/// See the module's head.
pub struct Sessions {
    token: String,
    open: Mutex<HashMap<String, Session>>,
    wrong: tokio::sync::Mutex<()>,
}

impl Sessions {
    /// For that token.
    ///
    /// # Errors
    /// It is too short.
    pub fn new(token: String) -> Result<Sessions, String> {
        if token.len() < TOKEN_MIN {
            return Err(format!("[page] the token in token_file is too short: {TOKEN_MIN} characters or more"));
        }
        Ok(Sessions { token, open: Mutex::default(), wrong: tokio::sync::Mutex::default() })
    }

    /// Whether this is the token. Whoever is wrong waits, and whoever comes meanwhile waits behind.
    pub async fn knows(&self, token: &str) -> bool {
        if same(token, &self.token) {
            return true;
        }
        let _one = self.wrong.lock().await;
        tokio::time::sleep(PENALTY).await;
        false
    }

    /// A new session's cookie.
    pub async fn open(&self, token: &str) -> Option<String> {
        if !self.knows(token.trim()).await {
            return None;
        }
        let (id, form) = (users::password().ok()?, users::password().ok()?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.since.elapsed() < LENGTH);
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.since).map(|(id, _)| id.clone());
            oldest.and_then(|id| open.remove(&id));
        }
        open.insert(id.clone(), Session { form, since: Instant::now() });
        Some(format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}", LENGTH.as_secs()))
    }

    /// The word for forms of whoever sent this request; `None`: not logged in.
    pub fn of(&self, headers: &HeaderMap) -> Option<String> {
        let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
        let mut named = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        let (_, id) = named.find(|(name, _)| *name == COOKIE)?;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(id).filter(|session| session.since.elapsed() < LENGTH).map(|session| session.form.clone())
    }
}

/// Takes as long for a text that is nearly right as for one that is not at all.
fn same(one: &str, other: &str) -> bool {
    let differ = one.bytes().zip(other.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        assert!(Sessions::new("short".into()).is_err());
        assert!(same("abcd", "abcd"));
        for other in ["", "abc", "abcde", "abce"] {
            assert!(!same("abcd", other), "{other}");
        }
    }
}
