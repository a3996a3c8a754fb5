//! Whether state can be kept where it is to be: room, permission, kind of file system, and how long a write takes
//! until it is safe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{statfs, statvfs};

use super::finding::Finding;

/// Less than this is soon full: a day of a few farms.
const LITTLE_BYTES: u64 = 2 << 30;
/// Less than this holds not even one farm of 10,000.
const TOO_LITTLE_BYTES: u64 = 256 << 20;
/// Writes that are tried; the middle one counts.
const TRIALS: usize = 9;
/// A write of a database's size.
const TRIAL_BYTES: usize = 4_096;
/// What was acknowledged waits for at least one such write.
const SLOW: Duration = Duration::from_millis(20);

/// The directory of a database in a file; `None` of one elsewhere. `directory` is the data directory, if there it is.
pub(crate) fn place(url: &str, directory: Option<PathBuf>) -> Option<PathBuf> {
    directory.or_else(|| {
        let file = url.strip_prefix("sqlite:")?;
        let file = file.strip_prefix("//").unwrap_or(file);
        let file = file.split('?').next().unwrap_or(file);
        let parent = Path::new(file).parent()?;
        Some(match parent.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => parent.to_owned(),
        })
    })
}

/// Of a database that is not on this machine's disks.
pub(crate) fn elsewhere() -> Finding {
    Finding::ok(
        "data directory",
        "none is needed: the database is a server's, whose disk is not seen from here",
    )
}

/// Looks at a directory, or at where it would be made.
pub(crate) fn look(directory: &Path) -> Vec<Finding> {
    let there = directory.ancestors().find(|path| path.exists());
    // A path like `farm/data` has no ancestor that is there but the working directory.
    let there = there
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !there.is_dir() {
        return vec![Finding::failure(
            "data directory",
            format!("{} is no directory", there.display()),
            "give another one with --data-dir",
        )];
    }
    let mut findings = vec![writes(directory, there)];
    findings.extend(room(there));
    findings.extend(kind(there));
    findings
}

fn writes(directory: &Path, there: &Path) -> Finding {
    let how = match directory == there {
        true => "can be written",
        false => "is not there yet, and can be made",
    };
    match trial(there) {
        Ok(took) if took <= SLOW => Finding::ok(
            "data directory",
            format!(
                "{} {how}; a write is safe in {:.1} ms",
                directory.display(),
                ms(took)
            ),
        ),
        Ok(took) => Finding::warning(
            "data directory",
            format!(
                "{} {how}, but a write is safe only in {:.1} ms: every change that is acknowledged waits for one",
                directory.display(),
                ms(took)
            ),
            "a faster disk for --data-dir (an SSD of this machine), or nothing, if changes may take so long",
        ),
        Err(error) => Finding::failure(
            "data directory",
            format!("{} cannot be written: {error}", there.display()),
            format!(
                "give another one with --data-dir, or permission: `ls -ld {0}`, `mount | grep {0}`",
                there.display()
            ),
        ),
    }
}

/// How long a write takes until the disk has it, in the middle of some. Nothing is left of it.
fn trial(directory: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::Builder::new()
        .prefix(".autofarm-doctor")
        .tempfile_in(directory)?;
    let mut took = Vec::with_capacity(TRIALS);
    for _ in 0..TRIALS {
        let start = Instant::now();
        file.write_all(&[0; TRIAL_BYTES])?;
        file.as_file().sync_all()?;
        took.push(start.elapsed());
    }
    file.close()?;
    took.sort_unstable();
    Ok(took[TRIALS / 2])
}

fn room(there: &Path) -> Option<Finding> {
    let of = statvfs(there).ok()?;
    Some(free(of.f_bavail.saturating_mul(of.f_frsize), there))
}

fn free(bytes: u64, there: &Path) -> Finding {
    let found = format!("{:.1} GiB free", bytes as f64 / f64::from(1 << 30));
    let advice = format!(
        "make room (`du -xh {} | sort -h | tail`), keep less (--keep-cuts, --keep-events), or give another disk's directory \
         with --data-dir",
        there.display()
    );
    if bytes < TOO_LITTLE_BYTES {
        let found = format!("{found}: it is full at once, and runs are paused then");
        return Finding::failure("disk space", found, advice);
    }
    if bytes < LITTLE_BYTES {
        let found = format!("{found}: runs are paused when it is full");
        return Finding::warning("disk space", found, advice);
    }
    Finding::ok("disk space", found)
}

fn kind(there: &Path) -> Option<Finding> {
    kind_of(statfs(there).ok()?.f_type as u64)
}

/// Of a file system on which a database is not safe, by the number that the kernel has for it.
fn kind_of(f_type: u64) -> Option<Finding> {
    // Some of these numbers use the sign, as the kernel's type has one.
    let (name, why) = match f_type & 0xffff_ffff {
        0x6969 => (
            "NFS",
            "locks and writes of a database are not reliable over a network",
        ),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => (
            "SMB",
            "locks and writes of a database are not reliable over a network",
        ),
        0x0102_1994 => ("tmpfs", "it is memory: all is gone when the machine is"),
        _ => return None,
    };
    let advice = "give a directory on a disk of this machine with --data-dir, or a PostgreSQL with --database-url";
    Some(Finding::warning(
        "file system",
        format!("{name}: {why}"),
        advice,
    ))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn the_directory_is_that_of_the_file() {
        let of = |url| place(url, None);
        assert_eq!(of("sqlite:/var/farm/a.db"), Some("/var/farm".into()));
        assert_eq!(
            of("sqlite:///var/a.db?max_page_count=9"),
            Some("/var".into())
        );
        assert_eq!(of("sqlite:a.db"), Some(".".into()));
        assert_eq!(of("postgres://farm@db/farm"), None);
    }

    #[test]
    fn little_room_is_a_warning_and_less_a_failure() {
        let of = |bytes| free(bytes, Path::new("/farm")).outcome;
        assert_eq!(of(TOO_LITTLE_BYTES - 1), Outcome::Failure);
        assert_eq!(of(TOO_LITTLE_BYTES), Outcome::Warning);
        assert_eq!(of(LITTLE_BYTES - 1), Outcome::Warning);
        assert_eq!(of(LITTLE_BYTES), Outcome::Ok);
    }

    #[test]
    fn nothing_is_left_of_a_trial() {
        let directory = tempfile::tempdir().unwrap();
        let findings = look(&directory.path().join("not/there"));
        assert!(
            findings[0]
                .found
                .contains("is not there yet, and can be made"),
            "{findings:?}"
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn memory_and_networks_are_no_place_for_state() {
        let of = |f_type| kind_of(f_type).map(|found| found.found);
        let is = |f_type, name: &str| of(f_type).is_some_and(|found| found.starts_with(name));
        assert!(is(0x0102_1994, "tmpfs: it is memory"));
        assert!(is(0x6969, "NFS: "));
        // CIFS, with the sign that its type has where that is of 32 bits, and SMB 2.
        assert!(is(0xffff_ffff_ff53_4d42, "SMB: "));
        assert!(is(0xfe53_4d42, "SMB: "));
        // ext4, XFS and btrfs.
        for sound in [0xef53, 0x5846_5342, 0x9123_683e] {
            assert_eq!(of(sound), None, "{sound:#x}");
        }
        assert!(kind(Path::new("/proc")).is_none());
    }
}
