//! The clock that bans are counted on: whole seconds since boot, time asleep included. It is not set, does
//! not jump, and goes on while the system sleeps. Everything that needs such a time reads it here.

/// Seconds since boot, rounded up: `CLOCK_BOOTTIME` as the kernel states it in sysinfo(2).
///
/// Not by clock_gettime(2): a 32-bit musl has it with 32-bit and with 64-bit seconds, and rustix 1.1 calls
/// the one with the other's structure, so that on every 32-bit router it is always the far future.
pub fn seconds() -> u64 {
    u64::try_from(rustix::system::sysinfo().uptime).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_kernel_says_in_proc_uptime() {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let shown: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let read = seconds() as f64;
        assert!((shown..shown + 60.0).contains(&read), "{read} right after {shown}");
    }
}
