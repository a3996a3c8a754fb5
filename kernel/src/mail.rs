//! Messages between the parts of a cut site, as words.
//!
//! Each part writes one letter to every other part each tick. Those who carry it never look inside.
//! A letter is eight words of header and then its records, all u32:
//!
//! ```text
//! [ version, tick, sender, requests, grants, ghosts, cell words, bulletins ]
//! request, grant: machine, kind, ask, a, b, c     ghost: entity, x, y, vx, vy, radius, priority
//! cell word: index, bits (only those with a bit set)   bulletin: soil_bn, free_slots
//! ```

use crate::message::{Body, Bulletin, Grant, Request};

/// First word of every letter.
const VERSION: u32 = 0x4d41_0001;
const HEADER_WORDS: usize = 8;
/// Where the counts of records begin.
const COUNTS: usize = 3;
const MESSAGE_WORDS: usize = 6;
const GHOST_WORDS: usize = 7;
const CELL_WORDS: usize = 2;
const BULLETIN_WORDS: usize = 2;

/// Why a letter cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It does not begin with the version this kernel writes.
    #[error("mail: version {0:#x} is not {VERSION:#x}")]
    Version(u32),
    /// Its length is not what its counts say.
    #[error("mail: {words} words where the counts say {expected}")]
    Length {
        /// Words it has.
        words: usize,
        /// Words it should have.
        expected: u64,
    },
    /// A message names a machine, land, slot or segment that the site does not have.
    #[error("mail: {what} {value} is out of range")]
    OutOfRange {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// A letter to a partition that is no part of a cut site.
    #[error("mail: this partition is not part of a cut site")]
    NotCut,
    /// A letter of another tick than the one before the step.
    #[error("mail: from partition {sender} is of tick {tick}, not of {expected}")]
    Tick {
        /// Partition that wrote it.
        sender: u32,
        /// Tick that emitted it.
        tick: u32,
        /// Tick that should have.
        expected: u32,
    },
    /// The letters are not exactly one from each other part.
    #[error("mail: not exactly one letter from each of the other {parts} parts")]
    Senders {
        /// Other parts of the site.
        parts: u32,
    },
}

/// A letter's records.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Tick that emitted it.
    pub tick: u32,
    /// Partition that wrote it.
    pub sender: u32,
    requests: &'a [u32],
    grants: &'a [u32],
    ghosts: &'a [u32],
    cells: &'a [u32],
    bulletin: &'a [u32],
}

impl<'a> Letter<'a> {
    /// Splits a letter into its records.
    ///
    /// # Errors
    /// [`MailError`] where version or length are wrong.
    pub fn read(words: &'a [u32]) -> Result<Letter<'a>, MailError> {
        let Some((header, body)) = words.split_at_checked(HEADER_WORDS) else {
            return Err(MailError::Length {
                words: words.len(),
                expected: HEADER_WORDS as u64,
            });
        };
        if header[0] != VERSION {
            return Err(MailError::Version(header[0]));
        }
        let sizes = [
            MESSAGE_WORDS,
            MESSAGE_WORDS,
            GHOST_WORDS,
            CELL_WORDS,
            BULLETIN_WORDS,
        ];
        let expected: u64 = (header[COUNTS..].iter().zip(sizes))
            .map(|(&count, size)| u64::from(count) * size as u64)
            .sum();
        if expected != body.len() as u64 {
            return Err(MailError::Length {
                words: words.len(),
                expected: expected + HEADER_WORDS as u64,
            });
        }
        let mut rest = body;
        let mut take = |i: usize| {
            let (records, after) = rest.split_at(header[COUNTS + i] as usize * sizes[i]);
            rest = after;
            records
        };
        Ok(Letter {
            tick: header[1],
            sender: header[2],
            requests: take(0),
            grants: take(1),
            ghosts: take(2),
            cells: take(3),
            bulletin: take(4),
        })
    }

    /// Requests of the sender's machines, for the part that holds the site.
    pub fn requests(&self, site: u32) -> impl Iterator<Item = Request> + use<'a> {
        self.requests
            .chunks_exact(MESSAGE_WORDS)
            .map(move |w| Request {
                site,
                machine: w[0],
                kind: w[1],
                ask: w[2],
                a: w[3],
                b: w[4],
                c: w[5],
            })
    }

    /// Grants to the reader's machines.
    pub fn grants(&self, site: u32) -> impl Iterator<Item = Grant> + use<'a> {
        self.grants.chunks_exact(MESSAGE_WORDS).map(move |w| Grant {
            site,
            machine: w[0],
            kind: w[1],
            ask: w[2],
            a: w[3],
            b: w[4],
            c: w[5],
        })
    }

    /// The sender's machines near the reader's.
    pub fn ghosts(&self) -> impl Iterator<Item = Body> + use<'a> {
        self.ghosts.chunks_exact(GHOST_WORDS).map(|w| Body {
            entity: w[0],
            x: w[1].cast_signed(),
            y: w[2].cast_signed(),
            vx: f32::from_bits(w[3]),
            vy: f32::from_bits(w[4]),
            radius: f32::from_bits(w[5]),
            priority: w[6],
        })
    }

    /// Words of the sender's cell bitmap that are not zero: index and bits.
    pub fn cells(&self) -> impl Iterator<Item = (usize, u32)> + use<'a> {
        self.cells
            .chunks_exact(CELL_WORDS)
            .map(|w| (w[0] as usize, w[1]))
    }

    /// The site's bulletin, from the part that holds it.
    #[must_use]
    pub fn bulletin(&self) -> Option<Bulletin> {
        self.bulletin
            .first_chunk()
            .map(|&[soil_bn, free_slots]| Bulletin {
                soil_bn: f32::from_bits(soil_bn),
                free_slots,
            })
    }
}

/// Writes one letter at the end of `words`.
pub(crate) fn write<'a>(
    words: &mut Vec<u32>,
    [tick, sender]: [u32; 2],
    requests: impl Iterator<Item = &'a Request>,
    grants: impl Iterator<Item = &'a Grant>,
    ghosts: impl Iterator<Item = &'a Body>,
    cells: &[u32],
    bulletin: Option<Bulletin>,
) {
    let header = words.len();
    words.extend([VERSION, tick, sender, 0, 0, 0, 0, 0]);
    let mut counts = [0; 5];
    for r in requests {
        words.extend([r.machine, r.kind, r.ask, r.a, r.b, r.c]);
        counts[0] += 1;
    }
    for g in grants {
        words.extend([g.machine, g.kind, g.ask, g.a, g.b, g.c]);
        counts[1] += 1;
    }
    for b in ghosts {
        let position = [b.entity, b.x.cast_unsigned(), b.y.cast_unsigned()];
        words.extend(position);
        words.extend([
            b.vx.to_bits(),
            b.vy.to_bits(),
            b.radius.to_bits(),
            b.priority,
        ]);
        counts[2] += 1;
    }
    for (i, &bits) in cells.iter().enumerate().filter(|(_, bits)| **bits != 0) {
        words.extend([i as u32, bits]);
        counts[3] += 1;
    }
    if let Some(b) = bulletin {
        words.extend([b.soil_bn.to_bits(), b.free_slots]);
        counts[4] = 1;
    }
    words[header + COUNTS..header + HEADER_WORDS].copy_from_slice(&counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Vec<u32> {
        let request = Request {
            site: 3,
            machine: 7,
            kind: 1,
            ask: 2,
            a: 4,
            b: 5,
            c: 6,
        };
        let ghost = Body {
            entity: 9,
            x: -1,
            y: 2,
            vx: 0.5,
            vy: -0.5,
            radius: 1.25,
            priority: 4,
        };
        let bulletin = Bulletin {
            soil_bn: 40.0,
            free_slots: 1,
        };
        let mut words = Vec::new();
        write(
            &mut words,
            [5, 2],
            [request].iter(),
            [].iter(),
            [ghost].iter(),
            &[0, 6, 0],
            Some(bulletin),
        );
        words
    }

    #[test]
    fn what_is_written_is_read() {
        let words = letter();
        let letter = Letter::read(&words).expect("just written");
        assert_eq!(
            letter.requests(3).next().map(|r| (r.machine, r.c)),
            Some((7, 6))
        );
        assert_eq!(letter.grants(3).count(), 0);
        assert_eq!(
            letter.ghosts().next().map(|g| (g.x, g.vy)),
            Some((-1, -0.5))
        );
        assert_eq!(letter.cells().collect::<Vec<_>>(), [(1, 6)]);
        assert_eq!(letter.bulletin().map(|b| b.soil_bn), Some(40.0));
    }

    #[test]
    fn every_truncation_and_every_lie_about_a_count_is_refused() {
        let words = letter();
        for len in 0..words.len() {
            assert!(Letter::read(&words[..len]).is_err(), "{len} words");
        }
        for field in (0..HEADER_WORDS).filter(|f| *f != 1 && *f != 2) {
            for value in [u32::MAX, words[field] + 1] {
                let mut lie = words.clone();
                lie[field] = value;
                assert!(Letter::read(&lie).is_err(), "field {field} = {value}");
            }
        }
    }
}
