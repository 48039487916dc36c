//! The page's door: so many connections at a time, and none for long. Whoever comes when it is full takes the place of
//! whoever has been there longest, so that nobody who only sits there keeps the owner out.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::hub::Hub;

/// Connections at a time: below the 1,024 files of a process, with what nats-server and the rest need.
const MOST: usize = 128;

/// How long one lasts: browsers connect again, and nobody sends a request a byte a minute.
const LENGTH: Duration = Duration::from_secs(30);

/// See the module's head.
pub struct Door {
    listener: TcpListener,
    /// Those that are inside, oldest first: whoever drops a sender sends its guest away.
    inside: VecDeque<oneshot::Sender<()>>,
    hub: Arc<Hub>,
}

impl Door {
    /// Before that listener.
    pub fn new(listener: TcpListener, hub: Arc<Hub>) -> Door {
        Door { listener, inside: VecDeque::new(), hub }
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        if self.inside.len() >= MOST {
            self.inside.retain(|guest| !guest.is_closed());
        }
        if self.inside.len() >= MOST {
            self.inside.pop_front();
            self.hub.complaints.about("the page", "door", || {
                format!("{MOST} connections, and one more from {}: the oldest ends", address.ip())
            });
        }
        let (stay, sent_away) = oneshot::channel();
        self.inside.push_back(stay);
        (Guest { stream, sent_away, end: Box::pin(tokio::time::sleep(LENGTH)), going: false }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub struct Guest {
    stream: TcpStream,
    sent_away: oneshot::Receiver<()>,
    end: Pin<Box<Sleep>>,
    /// It was told to go: what told it must not be asked again.
    going: bool,
}

impl Guest {
    /// Ready when it is to go.
    fn ends(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.going {
            let sent_away = Pin::new(&mut self.sent_away).poll(context).is_ready();
            self.going = sent_away || self.end.as_mut().poll(context).is_ready();
        }
        if self.going { Poll::Ready(()) } else { Poll::Pending }
    }

    fn or_end<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_pending() {
            ready!(self.ends(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As if it had closed the connection itself.
        if self.ends(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.or_end(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.or_end(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
