//! The hub's page seen from outside: a listening socket keeps the network in which it was made, so whoever comes in by
//! the one given as standard input comes from there, and is led on to the page inside.

use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread::spawn;

use crate::Result;

/// Leads everybody on to this port; the address outside.
pub fn open(port: u16) -> Result<SocketAddr> {
    let told = |error: std::io::Error| format!("the page's door: {error}");
    let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(told)?;
    let door = TcpListener::from(input);
    let address = door.local_addr().map_err(told)?;
    spawn(move || {
        for visitor in door.incoming().flatten() {
            // A visitor that fails is none of the others' affair.
            spawn(move || lead(visitor, port));
        }
    });
    Ok(address)
}

fn lead(visitor: TcpStream, port: u16) -> std::io::Result<()> {
    let page = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (mut from_visitor, mut to_page) = (visitor.try_clone()?, page.try_clone()?);
    spawn(move || {
        let _ = copy(&mut from_visitor, &mut to_page);
        let _ = to_page.shutdown(Shutdown::Write);
    });
    let (mut from_page, mut to_visitor) = (page, visitor);
    copy(&mut from_page, &mut to_visitor)?;
    to_visitor.shutdown(Shutdown::Write)
}
