//! On MIPS, where qemu counts in place of callgrind: the beginning and the end of a piece, marked for its plugin
//! (`xtask/src/bench/counts/count.c`) by a system call that nothing else makes: getpid, with arguments.
#![allow(unsafe_code)]

#[cfg(target_arch = "mips")]
fn mark(what: std::ffi::c_ulong) {
    use std::ffi::{c_long, c_ulong};
    // Its number in O32, and "mark".
    const GETPID: c_long = 4020;
    const SIGN: c_ulong = 0x6d61_726b;
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    // SAFETY: the C library's function has this signature, and getpid looks at no argument and cannot fail.
    unsafe { syscall(GETPID, SIGN, what) };
}

#[cfg(not(target_arch = "mips"))]
fn mark(_what: u8) {}

/// A piece begins.
pub fn begin() {
    mark(1);
}

/// It has ended.
pub fn end() {
    mark(2);
}
