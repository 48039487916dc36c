//! The clock that bans are counted on: whole seconds since boot, time asleep included. It is not set, does
//! not jump, and goes on while the system sleeps. Everything that needs such a time reads it here.

/// Seconds since boot, rounded up: `CLOCK_BOOTTIME` as the kernel states it in sysinfo(2).
///
/// Not by clock_gettime(2): a 32-bit musl has it with 32-bit and with 64-bit seconds, and rustix 1.1 calls
/// the one with the other's structure, so that on every 32-bit router it is always the far future.
pub fn seconds() -> u64 {
    u64::try_from(rustix::system::sysinfo().uptime).unwrap_or(0)
}

/// Hundredths of seconds since boot, not rounded, for what must not come early; [`seconds`] where there is no
/// `/proc/uptime`.
pub fn hundredths() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    read(&text).unwrap_or_else(|| seconds().saturating_mul(100))
}

fn read(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, rest.get(..2)?.parse().ok()?);
    whole.checked_mul(100)?.checked_add(part)
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

    #[test]
    fn hundredths_are_not_rounded() {
        assert_eq!(read("12345.07 98765.43\n"), Some(1_234_507));
        for text in ["", "12", "12.", "12.3", "x.00 1.00", "99999999999999999999.00"] {
            assert_eq!(read(text), None, "{text}");
        }
        let (before, exact, after) = (seconds(), hundredths(), seconds());
        assert!((before - 1) * 100 <= exact && exact <= after * 100, "{before} {exact} {after}");
    }
}
