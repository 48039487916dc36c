//! No chance: hash tables of the standard library are keyed by `getrandom`, and their work differs from run to run.
//! This one stands in for the C library's.
#![allow(unsafe_code)]

/// Fills the buffer with zeros.
///
/// # Safety
/// As the C library's: `buffer` has room for `length` bytes.
// SAFETY: it has the signature of the C library's function of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: as the caller promises.
    unsafe { buffer.write_bytes(0, length) };
    length.cast_signed()
}
