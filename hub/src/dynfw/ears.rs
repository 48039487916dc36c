//! ZMTP with CURVE as the side that publishes: the handshake, and what a subscriber says after it.
//!
//! A `Connection` of `omq-proto` takes 64 KiB for as long as it lives, which 10,000 routers would have 640 MB of. So it
//! lives as long as the handshake; after that a router is its keys alone, and all of them share one connection, into
//! which the keys are put for the moment in which one frame is read.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use omq_proto::proto::mechanism::FrameTransform;
use omq_proto::proto::{Command, Connection, ConnectionConfig, Event, Role, SocketType};
use omq_proto::{CurveKeypair, CurveServerOptions, FrameFlags, MechanismSetup, Message};
use tokio::net::TcpStream;

/// Bytes of one frame of a subscriber's: a topic is shorter, a heartbeat too.
pub const FRAME: usize = 1024;

/// Bytes that a handshake may take of a client: they come to some 600.
const SHAKE: usize = 4096;

/// The header of a frame: flags, and a length of one byte or eight.
const LONG: u8 = 2;

/// What a subscriber said.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// It wants topics that begin so, or no longer.
    Wants(Bytes, bool),
    /// It asked for a sign of life; this is the answer, ready to be sent.
    Answer(Bytes),
    /// Nothing that means something to a publisher.
    Other,
}

/// Shakes hands; what keeps the router's frames apart from everybody else's.
///
/// # Errors
/// Why there is no connection.
pub async fn shake(stream: &TcpStream, keys: &CurveKeypair) -> Result<FrameTransform, String> {
    let mut connection = publisher(keys);
    let (mut heard, mut buffer) = (0, [0; 1024]);
    loop {
        while connection.has_pending_transmit() {
            stream.writable().await.map_err(|error| error.to_string())?;
            match stream.try_write(&connection.poll_transmit()) {
                Ok(count) => connection.advance_transmit(count),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        if connection.is_ready() {
            return connection.take_transform().ok_or_else(|| "it has no keys".to_owned());
        }
        stream.readable().await.map_err(|error| error.to_string())?;
        let count = match stream.try_read(&mut buffer) {
            Ok(0) => return Err("it hung up".into()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.to_string()),
        };
        heard += count;
        if heard > SHAKE {
            return Err("it says too much".into());
        }
        let said = buffer.get(..count).map(Bytes::copy_from_slice).unwrap_or_default();
        connection.handle_input(said).map_err(|error| error.to_string())?;
    }
}

fn publisher(keys: &CurveKeypair) -> Connection {
    let mechanism = MechanismSetup::CurveServer { our_keypair: keys.clone(), options: CurveServerOptions::default() };
    let config = ConnectionConfig::new(Role::Server, SocketType::Pub).max_message_size(FRAME).mechanism(mechanism);
    Connection::new(config)
}

/// A message as it goes out.
///
/// # Errors
/// The keys are used up.
pub fn sealed(keys: &mut FrameTransform, message: &Message, out: &mut VecDeque<Bytes>) -> Result<usize, String> {
    let mut length = 0;
    for (flags, body) in keys.encrypt_message(message).map_err(|error| error.to_string())? {
        let header = header(flags, body.len());
        length += header.len() + body.len();
        if body.len() < 256 {
            let mut whole = BytesMut::with_capacity(header.len() + body.len());
            whole.put_slice(&header);
            whole.put_slice(&body);
            out.push_back(whole.freeze());
        } else {
            out.extend([header, body]);
        }
    }
    Ok(length)
}

fn header(flags: FrameFlags, length: usize) -> Bytes {
    let more = u8::from(flags.more);
    match u8::try_from(length) {
        Ok(length) => Bytes::copy_from_slice(&[more, length]),
        Err(_) => {
            let mut header = BytesMut::with_capacity(9);
            header.put_u8(more | LONG);
            header.put_u64(length as u64);
            header.freeze()
        }
    }
}

/// The length of the frame that begins there, with its header; `None`: its header is not whole yet.
pub fn frame(said: &[u8]) -> Option<usize> {
    let (flags, rest) = said.split_first()?;
    if flags & LONG == 0 {
        return rest.first().map(|length| 2 + usize::from(*length));
    }
    let length = u64::from_be_bytes(*rest.first_chunk()?);
    Some(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(9))
}

/// The connection that all share. It holds nothing of anybody's between two frames.
#[derive(Debug, Default)]
pub struct Ears(RefCell<Option<Connection>>);

impl Ears {
    /// Reads one whole frame.
    ///
    /// # Errors
    /// It is none of this subscriber's, or breaks the protocol; the keys are gone then.
    pub fn hear(&self, keys: &mut Option<FrameTransform>, frame: Bytes) -> Result<Heard, String> {
        let mut shared = self.0.borrow_mut();
        let mut connection = match shared.take() {
            Some(connection) => connection,
            None => nobodys()?,
        };
        connection.restore_transform(keys.take().ok_or("its keys are gone")?);
        connection.handle_input(frame).map_err(|error| error.to_string())?;
        let heard = match (connection.poll_event(), connection.poll_message()) {
            (Some(Event::Command(Command::Subscribe(prefix))), None) => Heard::Wants(prefix, true),
            (Some(Event::Command(Command::Cancel(prefix))), None) => Heard::Wants(prefix, false),
            (Some(_), None) => Heard::Other,
            // ZMTP 3.0 has no commands for it.
            (None, Some(message)) => match message.part_slice(0).and_then(<[u8]>::split_first) {
                Some((1, prefix)) => Heard::Wants(Bytes::copy_from_slice(prefix), true),
                Some((0, prefix)) => Heard::Wants(Bytes::copy_from_slice(prefix), false),
                _ => Heard::Other,
            },
            (None, None) if connection.has_pending_transmit() => {
                let answer = connection.poll_transmit();
                connection.advance_transmit(answer.len());
                Heard::Answer(answer)
            }
            // A part of something: what comes next from somebody else would be taken for the rest of it.
            _ => return Err("it says things by halves".into()),
        };
        let is_clean = connection.poll_event().is_none()
            && connection.poll_message().is_none()
            && !connection.has_pending_transmit()
            && !connection.has_pending_input();
        if !is_clean {
            return Err("it says two things at once".into());
        }
        *keys = connection.take_transform();
        *shared = Some(connection);
        Ok(heard)
    }
}

/// A connection beyond its handshake, which it has made with itself, without keys.
fn nobodys() -> Result<Connection, String> {
    let keys = CurveKeypair::generate();
    let mechanism = MechanismSetup::CurveClient { our_keypair: CurveKeypair::generate(), server_public: keys.public };
    let mut client = Connection::new(ConnectionConfig::new(Role::Client, SocketType::Sub).mechanism(mechanism));
    let mut server = publisher(&keys);
    for _ in 0..8 {
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
    }
    while server.poll_event().is_some() {}
    server.take_transform().ok_or("no connection with itself")?;
    Ok(server)
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), String> {
    let said = from.poll_transmit();
    from.advance_transmit(said.len());
    to.handle_input(said).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Two ends that have shaken hands: a subscriber, and the publisher's keys.
    fn joined() -> (Connection, Option<FrameTransform>) {
        let keys = CurveKeypair::generate();
        let mechanism =
            MechanismSetup::CurveClient { our_keypair: CurveKeypair::generate(), server_public: keys.public };
        let mut client = Connection::new(ConnectionConfig::new(Role::Client, SocketType::Sub).mechanism(mechanism));
        let mut server = publisher(&keys);
        for _ in 0..8 {
            pass(&mut client, &mut server).unwrap();
            pass(&mut server, &mut client).unwrap();
        }
        assert!(client.is_ready());
        while client.poll_event().is_some() {}
        (client, server.take_transform())
    }

    fn says(client: &mut Connection) -> Bytes {
        let said = client.poll_transmit();
        client.advance_transmit(said.len());
        assert_eq!(frame(&said), Some(said.len()));
        said
    }

    #[test]
    fn many_are_heard_by_one_connection_and_none_for_another() {
        let ears = Ears::default();
        let mut all: Vec<_> = (0..5).map(|_| joined()).collect();
        for round in 0..3 {
            for (client, keys) in &mut all {
                client.send_command(&Command::Subscribe("dynfw/list".into())).unwrap();
                assert_eq!(ears.hear(keys, says(client)), Ok(Heard::Wants("dynfw/list".into(), true)), "{round}");
                client.send_command(&Command::Ping { ttl_deciseconds: 0, context: "c".into() }).unwrap();
                let Ok(Heard::Answer(answer)) = ears.hear(keys, says(client)) else { panic!("no answer") };
                client.handle_input(answer).unwrap();
                // The way of ZMTP 3.0.
                client.send_message(&Message::single(Bytes::from_static(b"\x00dynfw/list"))).unwrap();
                assert_eq!(ears.hear(keys, says(client)), Ok(Heard::Wants("dynfw/list".into(), false)));
                let mut out = VecDeque::new();
                let message = Message::multipart([Bytes::from_static(b"dynfw/list"), vec![7; 100_000].into()]);
                let length = sealed(keys.as_mut().unwrap(), &message, &mut out).unwrap();
                assert_eq!(length, out.iter().map(Bytes::len).sum::<usize>());
                for chunk in out {
                    client.handle_input(chunk).unwrap();
                }
                assert_eq!(client.poll_message().unwrap().part_bytes(1).unwrap(), vec![7; 100_000]);
            }
        }
        let (left, right) = all.split_at_mut(1);
        left[0].0.send_command(&Command::Subscribe("x".into())).unwrap();
        assert!(ears.hear(&mut right[0].1, says(&mut left[0].0)).is_err(), "another's frame");
        assert!(right[0].1.is_none());
    }

    #[test]
    fn half_a_message_of_one_is_not_the_beginning_of_anothers() {
        let ears = Ears::default();
        let ((mut evil, mut theirs), (mut good, mut keys)) = (joined(), joined());
        evil.send_message(&Message::multipart([Bytes::from_static(b"\x01evil"), Bytes::from_static(b"rest")])).unwrap();
        let said = says_first(&mut evil);
        assert!(ears.hear(&mut theirs, said).is_err());
        good.send_message(&Message::single(Bytes::from_static(b"\x01good"))).unwrap();
        assert_eq!(ears.hear(&mut keys, says(&mut good)), Ok(Heard::Wants("good".into(), true)));
    }

    fn says_first(client: &mut Connection) -> Bytes {
        let mut said = client.poll_transmit();
        client.advance_transmit(said.len());
        let length = frame(&said).unwrap();
        assert!(length < said.len());
        said.split_to(length)
    }

    #[test]
    fn a_frame_has_a_length() {
        for (said, length) in [
            (&[0u8][..], None),
            (&[4, 5], Some(7)),
            (&[2, 0, 0, 0, 0, 0, 0, 1], None),
            (&[2, 0, 0, 0, 0, 0, 0, 1, 0], Some(265)),
            (&[3, 255, 255, 255, 255, 255, 255, 255, 255], Some(usize::MAX)),
        ] {
            assert_eq!(frame(said), length, "{said:?}");
        }
    }
}
