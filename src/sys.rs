//! All the `unsafe` of the project: the calls into libnftnl and libmnl for which their crates have no
//! safe face, and what a program is told before it is one, each behind a function that cannot be misused.
//!
//! Only the modules of the firewall call it, and who follows a log. Nothing here keeps a pointer after it returns.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::NonNull;
use std::rc::Rc;

use mnl::mnl_sys;
use nftnl::nftnl_sys;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Answer a refused request with its header alone, instead of the whole request.
pub(crate) const NETLINK_CAP_ACK: c_int = 10;
/// Say in a refusal which attribute was the reason.
pub(crate) const NETLINK_EXT_ACK: c_int = 11;

/// Has the program end when this process does, however it does: a `logread -f` that nobody reads any more would run for
/// ever, for it takes no notice of its closed output. To be started by the thread that lives as long as the process.
pub(crate) fn end_with_us(command: &mut Command) {
    let us = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        // It may have ended before this was said.
        let is_there = rustix::process::getppid() == Some(us);
        if is_there { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec it makes two system calls and nothing else: no lock, no memory.
    unsafe { command.pre_exec(bind) };
}

/// A netlink socket; `netlink` has what can be done with it.
pub(crate) struct Endpoint(pub(crate) mnl::Socket);

impl Endpoint {
    /// The socket's descriptor, for as long as the socket lives.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: libmnl closes the descriptor when the socket is dropped, which the borrow forbids.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }

    /// Sets an integer option of level `SOL_NETLINK`.
    pub(crate) fn set_option(&self, option: c_int, value: c_int) -> io::Result<()> {
        let mut value = value;
        // SAFETY: `value` is an int that lives through the call, and its size is given.
        let result = unsafe {
            mnl_sys::mnl_socket_setsockopt(
                self.0.as_raw_socket(),
                option,
                (&raw mut value).cast::<c_void>(),
                size_of::<c_int>() as u32,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsRawFd for Endpoint {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// An endpoint whose incoming datagrams wake a task. Needs a tokio runtime with I/O.
pub(crate) struct Wakeful(AsyncFd<Rc<Endpoint>>);

impl Wakeful {
    /// Registers the endpoint with the current runtime.
    pub(crate) fn new(endpoint: Rc<Endpoint>) -> io::Result<Wakeful> {
        // SAFETY: an endpoint has one descriptor from its making to its dropping, and the `Rc` in here
        // keeps it alive; nobody can exchange that `Rc`, for the field is private and never lent mutably.
        Ok(Wakeful(unsafe { AsyncFd::register_with_interest(endpoint, Interest::READABLE) }?))
    }

    /// The endpoint.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.0.get_ref()
    }

    /// Waits until something has come since the last time. The caller then receives until nothing is left.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // Cleared before the caller drains the socket, so that what comes in between wakes again.
        self.0.readable().await.map(|mut guard| guard.clear_ready())
    }
}

/// What defines a set, in the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetDefinition {
    /// `NFT_SET_*` flags.
    pub flags: u32,
    /// nft's number of the key's data type.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_len: u32,
    /// Most elements; 0: no limit.
    pub size: u32,
}

/// The attributes of a `NFT_MSG_NEWSET` message for a set of family inet, as libnftnl writes them.
pub(crate) fn set_attributes(table: &str, name: &str, id: u32, definition: &SetDefinition) -> io::Result<Vec<u8>> {
    // Header, two names of at most 255 bytes, and about a dozen integers.
    const ROOM: usize = 1024;
    let table = CString::new(table)?;
    let name = CString::new(name)?;
    if table.as_bytes().len() > 255 || name.as_bytes().len() > 255 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a table or set name is longer than 255 bytes"));
    }
    let set = Set::new()?;
    set.put_str(nftnl_sys::NFTNL_SET_TABLE, &table)?;
    set.put_str(nftnl_sys::NFTNL_SET_NAME, &name)?;
    set.put_u32(nftnl_sys::NFTNL_SET_ID, id);
    set.put_u32(nftnl_sys::NFTNL_SET_FLAGS, definition.flags);
    set.put_u32(nftnl_sys::NFTNL_SET_KEY_TYPE, definition.key_type);
    set.put_u32(nftnl_sys::NFTNL_SET_KEY_LEN, definition.key_len);
    if definition.size != 0 {
        set.put_u32(nftnl_sys::NFTNL_SET_DESC_SIZE, definition.size);
    }
    let mut buffer = vec![0u64; ROOM / 8];
    // SAFETY: the buffer is aligned for `nlmsghdr` and larger than the header that is put into it, then
    // than all the attributes together: two names of at most 256 bytes and eight small ones.
    let (start, length) = unsafe {
        let header = mnl_sys::mnl_nlmsg_put_header(buffer.as_mut_ptr().cast());
        nftnl_sys::nftnl_set_nlmsg_build_payload(header.cast(), set.0.as_ptr());
        (buffer.as_ptr().cast::<u8>(), (*header).nlmsg_len as usize)
    };
    debug_assert!(length <= ROOM);
    let header = size_of::<mnl_sys::libc::nlmsghdr>();
    // SAFETY: libnftnl has just written `length` bytes from `start` on, all inside `buffer`.
    let written = unsafe { std::slice::from_raw_parts(start, length.min(ROOM)) };
    Ok(written.get(header..).unwrap_or_default().to_vec())
}

/// A `struct nftnl_set`, freed on drop.
struct Set(NonNull<nftnl_sys::nftnl_set>);

impl Set {
    fn new() -> io::Result<Set> {
        // SAFETY: takes nothing; returns a fresh object, or null when memory is out.
        let set = unsafe { nftnl_sys::nftnl_set_alloc() };
        NonNull::new(set).map(Set).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
    }

    fn put_u32(&self, attribute: u32, value: u32) {
        // SAFETY: the object is live, the attribute is one of libnftnl's 32-bit ones.
        unsafe { nftnl_sys::nftnl_set_set_u32(self.0.as_ptr(), attribute as u16, value) }
    }

    fn put_str(&self, attribute: u32, value: &CString) -> io::Result<()> {
        // SAFETY: the object is live, the string ends with a zero and is copied.
        match unsafe { nftnl_sys::nftnl_set_set_str(self.0.as_ptr(), attribute as u16, value.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed only here.
        unsafe { nftnl_sys::nftnl_set_free(self.0.as_ptr()) }
    }
}
