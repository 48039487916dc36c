//! What the daemon costs in the long run: its memory and its file descriptors, with a verdict whether they grow, its CPU
//! time, and what it writes to flash.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ground::{FlashFile, Pace, Reading, Whole};

/// Fewer samples of one life say nothing.
const LEAST: usize = 12;

/// The part of a router's week that samples must cover for a verdict: what is drawn out further says more of how books
/// fill than of what leaks.
const COVERED: f64 = 0.1;

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
    pace: Pace,
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
    /// As last seen; what was available, at its least.
    whole: Option<Whole>,
}

impl Gauge {
    /// Nothing has been looked at.
    pub fn new(pace: Pace) -> Gauge {
        let now = Instant::now();
        Gauge {
            pace,
            begun: now,
            life: 0,
            life_begun: now,
            samples: Vec::new(),
            looked: None,
            cpu: Duration::ZERO,
            cpu_of_life: Duration::ZERO,
            pages: 0,
            pages_of_life: 0,
            flash: Flash::default(),
            whole: None,
        }
    }

    /// Notes a reading.
    pub fn note(&mut self, reading: Reading) {
        self.flash.note(reading.files);
        self.cpu_of_life = reading.cpu;
        self.pages_of_life = reading.pages;
        let least = self.whole.map_or(u64::MAX, |whole| whole.available);
        self.whole = reading.machine.map(|whole| Whole { available: whole.available.min(least), ..whole });
        if self.looked.is_some_and(|at| at.elapsed() < Duration::from_secs(2)) {
            return;
        }
        self.looked = Some(Instant::now());
        if self.life_begun.elapsed() < self.pace.warm_up() {
            return;
        }
        self.samples.push(Sample {
            life: self.life,
            minutes: self.begun.elapsed().as_secs_f64() / 60.0,
            own: reading.own as f64,
            resident: reading.resident as f64,
            descriptors: reading.descriptors as f64,
        });
    }

    /// The process has ended, or is about to; the next reading is of another.
    pub fn ends(&mut self) {
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
        if let Some(Whole { device, available }) = self.whole {
            lines.push(format!("the flash's device: {device} bytes written, the journal's among them"));
            lines.push(format!("memory of the whole machine: {available} KiB were available at the least"));
        }
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
            let Some(Slope { slope, error, covered }) = slope(&points) else {
                lines.push(format!("{name}: too few samples for a slope"));
                continue;
            };
            let (grows, least) = (slope * week, (slope - 2.0 * error) * week);
            let is_long = covered >= week * COVERED;
            let verdict = match (is_long, least <= most) {
                (false, _) => format!("no verdict, {covered:.0} minutes of the {:.0} it takes", week * COVERED),
                (true, true) => "flat".to_owned(),
                (true, false) => "NOT FLAT".to_owned(),
            };
            is_flat &= !is_long || least <= most;
            lines.push(format!(
                "{name}: at most {highest:.0} {unit}; slope {slope:+.3} ± {error:.3} {unit} a minute, {grows:+.0} {unit} in a \
                 router's week (allowed: {most:.0} beyond twice the error), {} samples: {verdict}",
                points.len()
            ));
        }
        (lines, is_flat)
    }
}

struct Slope {
    slope: f64,
    error: f64,
    /// Minutes between the first and the last point of each life, together.
    covered: f64,
}

/// Least squares over all lives of the process: one slope, a level for each life. Points: life, minutes, value.
fn slope(points: &[(usize, f64, f64)]) -> Option<Slope> {
    let (mut xx, mut xy, mut yy, mut count, mut lives, mut covered) = (0.0, 0.0, 0.0, 0, 0, 0.0);
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
        covered += of.last().map_or(0.0, |last| last.0) - of.first().map_or(0.0, |first| first.0);
    }
    if count < LEAST || xx == 0.0 {
        return None;
    }
    let slope = xy / xx;
    let rest = (yy - slope * xy).max(0.0) / (count - lives - 1).max(1) as f64;
    Some(Slope { slope, error: (rest / xx).sqrt(), covered })
}

/// What is written to files, by looking: a file that has grown has had as much written to it, another one of the same
/// name all that is in it.
#[derive(Default)]
struct Flash {
    known: HashMap<String, FlashFile>,
    bytes: u64,
    writes: u64,
}

impl Flash {
    fn note(&mut self, files: Vec<FlashFile>) {
        for now in files {
            let added = match self.known.get(&now.path) {
                Some(before) if *before == now => continue,
                Some(before) if before.inode == now.inode && before.length <= now.length => now.length - before.length,
                _ => now.length,
            };
            self.bytes += added;
            self.writes += 1;
            self.known.insert(now.path.clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::here::files_below;
    use super::*;

    #[test]
    fn what_grows_is_seen_over_restarts_and_what_starts_anew_does_not_look_flat() {
        let life = |life: usize, level: f64, slope: f64| {
            (0..30).map(move |step| (life, f64::from(step), level + slope * f64::from(step) + f64::from(step % 3)))
        };
        let leaking: Vec<_> = life(0, 100.0, 5.0).chain(life(1, 100.0, 5.0)).collect();
        let Slope { slope: leak, error, covered } = slope(&leaking).expect("a slope");
        assert_eq!(covered, 58.0);
        assert!((leak - 5.0).abs() < 0.1 && error < 0.1, "{leak} ± {error}");
        let flat: Vec<_> = life(0, 100.0, 0.0).chain(life(1, 900.0, 0.0)).collect();
        let Slope { slope: none, error, .. } = slope(&flat).expect("a slope");
        assert!(none.abs() <= 2.0 * error, "{none} ± {error}");
        assert!(slope(&leaking[..5]).is_none());
    }

    #[test]
    fn a_verdict_takes_a_part_of_the_week() {
        let mut gauge = Gauge::new(Pace::HERE);
        let sample = |minute: f64| Sample {
            life: 0,
            minutes: minute,
            own: 1000.0 + 500.0 * minute,
            resident: 4000.0,
            descriptors: 20.0,
        };
        gauge.samples = (0..20).map(|step| sample(f64::from(step) / 4.0)).collect();
        let (lines, is_flat) = gauge.report(100.0);
        assert!(is_flat && lines.iter().any(|line| line.contains("no verdict, 5 minutes of the 10")), "{lines:?}");
        gauge.samples = (0..20).map(|step| sample(f64::from(step))).collect();
        let (lines, is_flat) = gauge.report(100.0);
        assert!(!is_flat && lines.iter().any(|line| line.ends_with("NOT FLAT")), "{lines:?}");
    }

    #[test]
    fn flash_is_counted_as_it_grows_and_is_written_anew() {
        let place = std::env::temp_dir().join(format!("diswall-soak-flash-{}", std::process::id()));
        fs::create_dir_all(place.join("kept")).expect("a directory");
        let file = place.join("kept/record");
        let mut flash = Flash::default();
        fs::write(&file, [0; 100]).expect("written");
        flash.note(files_below(&place));
        fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[1; 20]))
            .expect("written");
        flash.note(files_below(&place));
        flash.note(files_below(&place));
        fs::write(place.join("new"), [0; 50]).expect("written");
        fs::rename(place.join("new"), &file).expect("renamed");
        flash.note(files_below(&place));
        let _ = fs::remove_dir_all(&place);
        assert_eq!((flash.bytes, flash.writes), (170, 3));
    }
}
