//! What the daemon costs in the long run: its memory and its file descriptors, with a verdict whether they grow, its CPU
//! time, and what it writes to flash.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Result;
use crate::measure::{cpu, memory};

/// The time in which a life of the daemon's fills its buffers and tables, and is not looked at.
const WARM_UP: Duration = Duration::from_secs(120);

/// Fewer samples of one life say nothing.
const LEAST: usize = 12;

/// What may be added in a router's week, by the slope less twice its own error.
const MOST_KIB: f64 = 1024.0;
const MOST_DESCRIPTORS: f64 = 2.0;

/// One look at the process.
#[derive(Clone, Copy)]
struct Sample {
    life: usize,
    minutes: f64,
    own: f64,
    resident: f64,
    descriptors: f64,
}

/// One of a sample's figures.
type Value = fn(&Sample) -> f64;

/// See the module's head.
pub struct Gauge {
    begun: Instant,
    life: usize,
    life_begun: Instant,
    samples: Vec<Sample>,
    looked: Option<Instant>,
    cpu: Duration,
    cpu_of_life: Duration,
    pages: u64,
    pages_of_life: u64,
    flash: Flash,
}

impl Gauge {
    /// Nothing has been looked at.
    pub fn new(flash: &Path) -> Gauge {
        let now = Instant::now();
        Gauge {
            begun: now,
            life: 0,
            life_begun: now,
            samples: Vec::new(),
            looked: None,
            cpu: Duration::ZERO,
            cpu_of_life: Duration::ZERO,
            pages: 0,
            pages_of_life: 0,
            flash: Flash { place: flash.to_path_buf(), known: HashMap::new(), bytes: 0, writes: 0 },
        }
    }

    /// Looks at the process and at the flash.
    pub fn look(&mut self, pid: u32) -> Result<()> {
        self.flash.look();
        self.cpu_of_life = cpu(pid)?;
        self.pages_of_life = written(pid)?;
        if self.looked.is_some_and(|at| at.elapsed() < Duration::from_secs(2)) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        if self.life_begun.elapsed() < WARM_UP {
            return Ok(());
        }
        let directory = format!("/proc/{pid}/fd");
        let descriptors = fs::read_dir(&directory).map_err(|error| format!("{directory}: {error}"))?.count();
        self.samples.push(Sample {
            life: self.life,
            minutes: self.begun.elapsed().as_secs_f64() / 60.0,
            own: memory(pid, "RssAnon")? as f64,
            resident: memory(pid, "VmRSS")? as f64,
            descriptors: descriptors as f64,
        });
        Ok(())
    }

    /// The process has ended, or is about to; the next look is at another.
    pub fn ends(&mut self) {
        self.flash.look();
        self.life += 1;
        self.life_begun = Instant::now();
        self.cpu += std::mem::take(&mut self.cpu_of_life);
        self.pages += std::mem::take(&mut self.pages_of_life);
    }

    /// What it all came to; `week` is a router's in minutes of this run. The second: whether nothing grows.
    pub fn report(&self, week: f64) -> (Vec<String>, bool) {
        let elapsed = self.begun.elapsed();
        let cpu = self.cpu + self.cpu_of_life;
        let mut lines = vec![
            format!(
                "CPU time: {:.1} s, {:.2} % of a core",
                cpu.as_secs_f64(),
                cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0
            ),
            format!(
                "flash: {} bytes in {} changes of files below /etc/diswall; {} bytes of pages that the daemon dirtied on disk",
                self.flash.bytes,
                self.flash.writes,
                self.pages + self.pages_of_life
            ),
        ];
        let mut is_flat = true;
        let columns: [(&str, &str, f64, Value); 3] = [
            ("memory of its own (RssAnon)", "KiB", MOST_KIB, |sample| sample.own),
            ("resident memory (VmRSS)", "KiB", MOST_KIB, |sample| sample.resident),
            ("file descriptors", "", MOST_DESCRIPTORS, |sample| sample.descriptors),
        ];
        for (name, unit, most, value) in columns {
            let points: Vec<(usize, f64, f64)> =
                self.samples.iter().map(|sample| (sample.life, sample.minutes, value(sample))).collect();
            let highest = points.iter().map(|point| point.2).fold(0.0, f64::max);
            let Some(Slope { slope, error }) = slope(&points) else {
                lines.push(format!("{name}: too few samples for a slope"));
                continue;
            };
            let (grows, least) = (slope * week, (slope - 2.0 * error) * week);
            let verdict = if least <= most { "flat" } else { "NOT FLAT" };
            is_flat &= least <= most;
            lines.push(format!(
                "{name}: at most {highest:.0} {unit}; slope {slope:+.3} ± {error:.3} {unit} a minute, {grows:+.0} {unit} in a \
                 router's week (allowed: {most:.0} beyond twice the error), {} samples: {verdict}",
                points.len()
            ));
        }
        (lines, is_flat)
    }
}

/// Bytes of pages that a process has dirtied on file systems that lie on a device.
fn written(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/io");
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
    bytes.ok_or_else(|| format!("{file} has no write_bytes"))
}

struct Slope {
    slope: f64,
    error: f64,
}

/// Least squares over all lives of the process: one slope, a level for each life. Points: life, minutes, value.
fn slope(points: &[(usize, f64, f64)]) -> Option<Slope> {
    let (mut xx, mut xy, mut yy, mut count, mut lives) = (0.0, 0.0, 0.0, 0, 0);
    let last = points.iter().map(|point| point.0).max()?;
    for life in 0..=last {
        let of: Vec<(f64, f64)> = points.iter().filter(|point| point.0 == life).map(|&(_, x, y)| (x, y)).collect();
        if of.len() < LEAST {
            continue;
        }
        let mean = |value: fn(&(f64, f64)) -> f64| of.iter().map(value).sum::<f64>() / of.len() as f64;
        let (x0, y0) = (mean(|point| point.0), mean(|point| point.1));
        for (x, y) in &of {
            xx += (x - x0) * (x - x0);
            xy += (x - x0) * (y - y0);
            yy += (y - y0) * (y - y0);
        }
        (count, lives) = (count + of.len(), lives + 1);
    }
    if count < LEAST || xx == 0.0 {
        return None;
    }
    let slope = xy / xx;
    let rest = (yy - slope * xy).max(0.0) / (count - lives - 1).max(1) as f64;
    Some(Slope { slope, error: (rest / xx).sqrt() })
}

/// What is written below a directory, by looking: a file that has grown has had as much written to it, another one of
/// the same name all that is in it.
struct Flash {
    place: PathBuf,
    known: HashMap<PathBuf, (u64, u64, i64)>,
    bytes: u64,
    writes: u64,
}

impl Flash {
    fn look(&mut self) {
        let mut directories = vec![self.place.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
                if meta.is_dir() {
                    directories.push(path);
                    continue;
                }
                let now = (meta.ino(), meta.len(), meta.mtime() * 1_000_000_000 + meta.mtime_nsec());
                let added = match self.known.insert(path, now) {
                    Some(before) if before == now => continue,
                    Some((inode, length, _)) if inode == now.0 && length <= now.1 => now.1 - length,
                    _ => now.1,
                };
                self.bytes += added;
                self.writes += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_seen_over_restarts_and_what_starts_anew_does_not_look_flat() {
        let life = |life: usize, level: f64, slope: f64| {
            (0..30).map(move |step| (life, f64::from(step), level + slope * f64::from(step) + f64::from(step % 3)))
        };
        let leaking: Vec<_> = life(0, 100.0, 5.0).chain(life(1, 100.0, 5.0)).collect();
        let Slope { slope: leak, error } = slope(&leaking).expect("a slope");
        assert!((leak - 5.0).abs() < 0.1 && error < 0.1, "{leak} ± {error}");
        let flat: Vec<_> = life(0, 100.0, 0.0).chain(life(1, 900.0, 0.0)).collect();
        let Slope { slope: none, error } = slope(&flat).expect("a slope");
        assert!(none.abs() <= 2.0 * error, "{none} ± {error}");
        assert!(slope(&leaking[..5]).is_none());
    }

    #[test]
    fn flash_is_counted_as_it_grows_and_is_written_anew() {
        let place = std::env::temp_dir().join(format!("diswall-soak-flash-{}", std::process::id()));
        fs::create_dir_all(place.join("kept")).expect("a directory");
        let file = place.join("kept/record");
        let mut flash = Flash { place: place.clone(), known: HashMap::new(), bytes: 0, writes: 0 };
        fs::write(&file, [0; 100]).expect("written");
        flash.look();
        fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[1; 20]))
            .expect("written");
        flash.look();
        flash.look();
        fs::write(place.join("new"), [0; 50]).expect("written");
        fs::rename(place.join("new"), &file).expect("renamed");
        flash.look();
        let _ = fs::remove_dir_all(&place);
        assert_eq!((flash.bytes, flash.writes), (170, 3));
    }
}
