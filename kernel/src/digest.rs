//! The digest: a wrapping sum of 64-bit hashes, one a row, site and message.
//!
//! A sum does not depend on order, so it is the same however rows are dealt out to partitions. What
//! enters a hash is the canonical content only: ids, fixed-width integers and the bits of floats.

use crate::message::{Bulletin, Grant, Request};
use crate::rows::Rows;

/// First value of the hash of each kind of thing, so that equal words of two kinds differ.
mod salt {
    pub(super) const ROW: u64 = 0x9e37_79b9_7f4a_7c15;
    pub(super) const REQUEST: u64 = 0xd1b5_4a32_d192_ed03;
    pub(super) const GRANT: u64 = 0xabc9_8388_fb8f_ac03;
    pub(super) const BULLETIN: u64 = 0x8cb9_2ba7_2f3d_8dd7;
    pub(super) const SITE: u64 = 0xbea2_25f9_eb34_556d;
}

/// An odd constant with well-spread bits.
const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;

/// From the hash of one place to that of the next: odd, with well-spread bits.
const PLACE_STEP: u64 = salt::ROW;

/// A column's value as 64 bits.
pub(crate) trait Word: Copy {
    fn word(self) -> u64;

    /// Whether it is a number.
    fn is_number(self) -> bool {
        true
    }
}

impl Word for u8 {
    fn word(self) -> u64 {
        u64::from(self)
    }
}

impl Word for u32 {
    fn word(self) -> u64 {
        u64::from(self)
    }
}

impl Word for i32 {
    fn word(self) -> u64 {
        u64::from(self.cast_unsigned())
    }
}

impl Word for f32 {
    fn word(self) -> u64 {
        u64::from(self.to_bits())
    }

    fn is_number(self) -> bool {
        self.is_finite()
    }
}

fn fold(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(MULTIPLIER);
    mixed ^ mixed >> 32
}

/// The first row of a column that holds no number.
pub(crate) fn no_number<T: Word>(column: &[T]) -> Option<usize> {
    column.iter().position(|value| !value.is_number())
}

/// Folds a column into the hashes of its rows.
pub(crate) fn fold_column<T: Word>(column: &[T], hashes: &mut [u64]) {
    for (hash, value) in hashes.iter_mut().zip(column) {
        *hash = fold(*hash, value.word());
    }
}

/// Sum of the hashes of all rows, taken in blocks that stay in the nearest cache.
pub(crate) fn rows(rows: &Rows) -> u64 {
    const BLOCK: usize = 256;
    let mut sum = 0_u64;
    for start in (0..rows.len()).step_by(BLOCK) {
        let end = rows.len().min(start + BLOCK);
        let mut hashes = [salt::ROW; BLOCK];
        let hashes = &mut hashes[..end - start];
        rows.hash_into(start..end, hashes);
        sum = hashes.iter().fold(sum, |sum, &hash| sum.wrapping_add(hash));
    }
    sum
}

/// Hash of a site: the wrapping sum of a hash a word, of its place and value. A chain of folds over
/// the words of a farm's sites would be most of a digest's time.
pub(crate) struct Words {
    /// Of the site's id, and then of the place of the next word.
    place: u64,
    sum: u64,
}

impl Words {
    pub(crate) fn new(id: u32) -> Words {
        Words {
            place: fold(salt::SITE, u64::from(id)),
            sum: 0,
        }
    }

    /// Adds words, in the order of the site's columns.
    pub(crate) fn column<T: Word>(&mut self, words: &[T]) {
        for word in words {
            // Twice: after one multiplication a sum hardly shows that two small words changed places.
            let hash = fold(fold(self.place, word.word()), self.place);
            self.sum = self.sum.wrapping_add(hash);
            self.place = self.place.wrapping_add(PLACE_STEP);
        }
    }

    pub(crate) fn sum(self) -> u64 {
        self.sum
    }
}

/// Sum of the hashes of requests that stand by (site, machine) and, for one machine, in the order of
/// their emission.
pub(crate) fn requests(requests: &[Request]) -> u64 {
    let mut ordinal = Ordinal::default();
    requests.iter().fold(0, |sum, r| {
        let place = ordinal.next(r.site, r.machine);
        let words = [r.site, r.machine, place, r.kind, r.ask, r.a, r.b, r.c];
        sum.wrapping_add(fold_words(salt::REQUEST, &words))
    })
}

/// Sum of the hashes of grants, ordered like requests.
pub(crate) fn grants(grants: &[Grant]) -> u64 {
    let mut ordinal = Ordinal::default();
    grants.iter().fold(0, |sum, g| {
        let place = ordinal.next(g.site, g.machine);
        let words = [g.site, g.machine, place, g.kind, g.ask, g.a, g.b, g.c];
        sum.wrapping_add(fold_words(salt::GRANT, &words))
    })
}

/// Hash of a site's bulletin.
pub(crate) fn bulletin(site: u32, bulletin: &Bulletin) -> u64 {
    fold_words(
        salt::BULLETIN,
        &[site, bulletin.soil_bn.to_bits(), bulletin.free_slots],
    )
}

fn fold_words(salt: u64, words: &[u32]) -> u64 {
    words.iter().fold(salt, |hash, &w| fold(hash, u64::from(w)))
}

/// Counts the messages of one machine, which stand together.
#[derive(Default)]
struct Ordinal {
    last: Option<(u32, u32)>,
    count: u32,
}

impl Ordinal {
    fn next(&mut self, site: u32, machine: u32) -> u32 {
        if self.last == Some((site, machine)) {
            self.count += 1;
        } else {
            self.last = Some((site, machine));
            self.count = 0;
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_does_not_matter_but_their_content_does() {
        let mut a = Rows::new(2);
        a.entity = vec![1, 2];
        a.x = vec![10, 20];
        let mut b = Rows::new(2);
        b.entity = vec![2, 1];
        b.x = vec![20, 10];
        let of_a = rows(&a);
        assert_eq!(of_a, rows(&b));
        b.x = vec![10, 20];
        assert_ne!(of_a, rows(&b), "two machines changed places");
    }

    #[test]
    fn the_words_of_a_site_may_not_change_places() {
        let of = |words: &[u32]| {
            let mut all = Words::new(3);
            all.column(words);
            all.sum()
        };
        let mut words: Vec<u32> = (0..200).map(|k| k % 5).collect();
        let before = of(&words);
        for other in 1..200 {
            words.swap(0, other);
            assert_eq!(of(&words) == before, words[0] == words[other], "{other}");
            words.swap(0, other);
        }
        words[7] ^= 1;
        assert_ne!(of(&words), before);
        assert_ne!(Words::new(3).place, Words::new(4).place);
    }

    #[test]
    fn two_requests_of_one_machine_may_not_change_places() {
        let request = |kind| Request {
            kind,
            ..Request::default()
        };
        assert_ne!(
            requests(&[request(1), request(2)]),
            requests(&[request(2), request(1)])
        );
    }
}
