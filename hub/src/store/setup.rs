//! Connects, looks whether this nats-server can do what a hub needs, and makes the streams that are missing.
//!
//! A stream that is there is left as it is, but for its copies and its size; one that somebody else made, or a
//! later hub, is refused, for keys without an end would ban for ever.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy, Republish, StorageType};
use async_nats::{ConnectOptions, Event};
use diswall::feed::nats::hub::wire;
use log::{info, warn};
use serde_json::Value;

use super::Store;
use crate::config::{self, Config, Nats};

/// The stream with what was told last.
pub const CHANGES: &str = "diswall_changes";

/// The subject that it takes changes on; it passes on what it took as `diswall.hub.changes`.
pub const TOLD: &str = "diswall.hub.told";

/// Written on each stream.
const FORM: (&str, &str) = ("diswall-hub", "1");

/// The JetStream API from which keys end by themselves: nats-server 2.11.
const LEVEL: u64 = 1;

/// Messages that one subscription holds for the hub to read: some 2 MB.
const HELD: usize = 8192;

/// Between two lines about what was lost.
const QUIET: Duration = Duration::from_secs(60);

/// Connects, checks, makes.
///
/// # Errors
/// A sentence for the owner.
pub async fn connect(config: &Config, name: &str) -> Result<Store, String> {
    let options = options(&config.nats, name)?;
    let shown = config.nats.servers.join(", ");
    let client =
        options.connect(&config.nats.servers).await.map_err(|error| format!("nats-server at {shown}: {error}"))?;
    let store = Store::new(client);
    check(&store).await?;
    make(&store, &config.store).await?;
    Ok(store)
}

fn options(nats: &Nats, name: &str) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::new()
        .name(name)
        .no_echo()
        // Where no router may listen, should they all have one account.
        .custom_inbox_prefix("_DISWALL_HUB")
        .subscription_capacity(HELD)
        .client_capacity(1024)
        .connection_timeout(Duration::from_secs(5))
        .reconnect_delay_callback(|tries| Duration::from_millis((100 << tries.min(5)) as u64))
        .event_callback(|event| async move { told(&event) });
    if let Some(file) = &nats.nkey_file {
        options = options.nkey(config::secret(file)?);
    } else if let Some(user) = &nats.user {
        let password = match (&nats.password, &nats.password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(file)) => config::secret(file)?,
            (None, None) => return Err("[nats] has a user without password or password_file".into()),
        };
        options = options.user_and_password(user.clone(), password);
    }
    if let Some(file) = &nats.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    Ok(options)
}

fn told(event: &Event) {
    match event {
        Event::Connected => info!("connected to nats-server"),
        Event::Disconnected => warn!("nats-server is away; trying again"),
        Event::SlowConsumer(_) => lost(),
        Event::ServerError(error) => warn!("nats-server: {error}"),
        Event::ClientError(error) => warn!("{error}"),
        other => info!("{other}"),
    }
}

/// Said at most once a minute, for it comes with each message that is lost.
fn lost() {
    static SAID: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));
    let (since, count) = &mut *SAID.lock().unwrap_or_else(PoisonError::into_inner);
    *count += 1;
    if since.is_none_or(|since| since.elapsed() >= QUIET) {
        warn!("more arrives than can be read: {count} messages were lost since this was last said");
        (*since, *count) = (Some(Instant::now()), 0);
    }
}

async fn check(store: &Store) -> Result<(), String> {
    let version = store.client.server_info().version;
    let none = |error: &str| {
        format!("nats-server {version} has no JetStream for this login ({error}): switch it on with `jetstream {{}}`")
    };
    let reply = store.client.request("$JS.API.INFO", "".into()).await.map_err(|error| none(&error.to_string()))?;
    let info: Value = serde_json::from_slice(&reply.payload).map_err(|error| none(&error.to_string()))?;
    if let Some(problem) = info.pointer("/error/description") {
        return Err(none(&problem.to_string()));
    }
    if info.pointer("/api/level").and_then(Value::as_u64).unwrap_or(0) < LEVEL {
        return Err(format!(
            "nats-server is {version}, in which keys cannot end by themselves: bans would last for ever. A hub needs \
             2.11 or newer"
        ));
    }
    Ok(())
}

/// Makes every bucket and stream that is not there.
///
/// # Errors
/// nats-server is away, or has something else under such a name.
pub async fn make(store: &Store, how: &config::Store) -> Result<(), String> {
    let largest = how.megabytes.saturating_mul(1 << 20);
    for (bucket, bytes) in store.buckets().into_iter().zip([4, 2, 1, 8, 16, 16, 16, 64]) {
        let subjects = vec![bucket.subject(">")];
        let stream = Stream {
            max_bytes: largest / bytes,
            allow_rollup: true,
            deny_delete: true,
            discard: DiscardPolicy::New,
            ..stream(bucket.stream(), subjects, how.replicas)
        };
        ensure(store, stream).await?;
    }
    let republish = Republish { source: TOLD.into(), destination: wire::CHANGES.into(), headers_only: false };
    let stream = Stream {
        republish: Some(republish),
        discard: DiscardPolicy::Old,
        ..stream(CHANGES.into(), vec![TOLD.into()], how.replicas)
    };
    ensure(store, stream).await
}

fn stream(name: String, subjects: Vec<String>, replicas: usize) -> Stream {
    Stream {
        name,
        subjects,
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        storage: StorageType::File,
        num_replicas: replicas,
        allow_direct: true,
        allow_message_ttl: true,
        metadata: [(FORM.0.to_owned(), FORM.1.to_owned())].into(),
        ..Stream::default()
    }
}

/// Several hubs may do this at once: making the same stream twice is no error to nats-server.
async fn ensure(store: &Store, wanted: Stream) -> Result<(), String> {
    let name = wanted.name.clone();
    let mut tries = 0;
    loop {
        tries += 1;
        let found = match store.jetstream.get_stream(&name).await {
            Ok(mut stream) => stream.info().await.map(|info| info.config.clone()).map_err(|error| error.to_string()),
            Err(_) => match store.jetstream.create_stream(wanted.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => Err(error.to_string()),
            },
        };
        match found {
            Ok(found) => return fit(store, &found, wanted).await,
            // A cluster that has just started has no leader yet.
            Err(_) if tries < 10 => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(error) => return Err(format!("the stream {name} cannot be made: {error}")),
        }
    }
}

async fn fit(store: &Store, found: &Stream, wanted: Stream) -> Result<(), String> {
    let name = &wanted.name;
    let form = found.metadata.get(FORM.0).map(String::as_str);
    let same = found.allow_message_ttl
        && found.allow_direct
        && found.max_messages_per_subject == 1
        && found.subjects == wanted.subjects;
    if form.is_some_and(|form| form != FORM.1) {
        return Err(format!(
            "the stream {name} was made by another version of diswall-hub (form {})",
            form.unwrap_or("")
        ));
    }
    if form.is_none() || !same {
        return Err(format!(
            "the stream {name} is there, but diswall-hub did not make it so: keys may not end in it. Remove it \
             (`nats stream rm {name}`) and start again"
        ));
    }
    if (found.num_replicas, found.max_bytes) == (wanted.num_replicas, wanted.max_bytes) {
        return Ok(());
    }
    let changed = store.jetstream.update_stream(&wanted).await;
    changed
        .map(drop)
        .map_err(|error| format!("the stream {name} cannot have another size or number of copies: {error}"))
}
