//! The views of all partitions at one tick, validated once and then read in place: the records stay in the
//! frames that brought them.

use std::sync::Arc;

use bytes::Bytes;
use kernel::view::RECORD_BYTES;
use transport::control::SimulationInfo;
use transport::frame::{Frame, FrameError};
use transport::view::View;

use crate::view_index::ViewIndex;
use crate::view_setting::ViewSetting;

/// A block's box in its site's frame: west, south, east, north, 2^-16 m.
pub type BlockBox = [i32; 4];

/// Everything that is shown of one tick.
#[derive(Clone, Debug)]
pub struct ViewTick {
    /// Epoch of who says it.
    pub epoch: u32,
    /// The simulation at the tick.
    pub info: SimulationInfo,
    /// UNIX time in us of the deadline of the tick, or where it had none, of its dispatch.
    pub started_at_us: u64,
    /// Whose the records are.
    pub index: Arc<ViewIndex>,
    /// Box of each block.
    pub boxes: Vec<BlockBox>,
    /// View frames, by partition.
    pub frames: Vec<Frame>,
    /// Records of each partition, inside its frame.
    records: Vec<Bytes>,
}

/// Why a view is none of its simulation.
#[derive(Debug, thiserror::Error)]
pub enum ViewTickError {
    /// No valid frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Other blocks or records than the simulation's partition has.
    #[error("a view of partition {partition} is not laid out as its simulation says")]
    Layout {
        /// The partition.
        partition: usize,
    },
    /// There is not one view for each partition.
    #[error("{found} views of {partitions} partitions")]
    Partitions {
        /// Views there were.
        found: usize,
        /// Partitions there are.
        partitions: usize,
    },
}

/// Some records of a block: the first so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The block.
    pub block: usize,
    /// Records; at least 1.
    pub records: usize,
}

impl ViewTick {
    /// Puts the views of every partition at one tick together, in order of partition.
    ///
    /// # Errors
    /// [`ViewTickError`].
    pub fn new(
        epoch: u32,
        info: SimulationInfo,
        started_at_us: u64,
        index: Arc<ViewIndex>,
        frames: Vec<Frame>,
    ) -> Result<ViewTick, ViewTickError> {
        let (found, partitions) = (frames.len(), index.partitions());
        if found != partitions {
            return Err(ViewTickError::Partitions { found, partitions });
        }
        let mut boxes = Vec::with_capacity(index.blocks.len());
        let mut records = Vec::with_capacity(partitions);
        for (partition, frame) in frames.iter().enumerate() {
            records.push(read(&index, partition, frame, &mut boxes)?);
        }
        Ok(ViewTick {
            epoch,
            info,
            started_at_us,
            index,
            boxes,
            frames,
            records,
        })
    }

    /// The first records of a block, as its worker wrote them.
    #[must_use]
    pub fn records(&self, taken: Taken) -> &[u8] {
        let block = &self.index.blocks[taken.block];
        let start = block.records.start * RECORD_BYTES;
        let partition = &self.records[block.partition as usize];
        &partition[start..start + taken.records * RECORD_BYTES]
    }

    /// Edges of a block's box in the world: west, south, east, north, 2^-16 m.
    #[must_use]
    pub fn box_in_world(&self, block: usize) -> [i64; 4] {
        let [x0, y0, x1, y1] = self.boxes[block].map(i64::from);
        let [x, y] = self.index.blocks[block].site_at;
        [x + x0, y + y0, x + x1, y + y1]
    }

    /// The records that a setting shows: of every block whose box touches the bounds, as many of the first
    /// ones as make an even share of the most there may be. A share is rounded by what was dealt to the block, so which
    /// blocks show one more makes no pattern, and depends on no other block but where the sum has to be mended.
    #[must_use]
    pub fn select(&self, setting: &ViewSetting) -> Vec<Taken> {
        let bounds = setting.tiles.map(|tiles| tiles.bounds_units());
        let is_shown = |block: usize| bounds.is_none_or(|b| touch(b, self.box_in_world(block)));
        let mut shown: Vec<Taken> = (self.index.blocks.iter().enumerate())
            .filter(|(block, _)| is_shown(*block))
            .map(|(block, of)| Taken {
                block,
                records: of.records.len(),
            })
            .collect();
        let all: u64 = shown.iter().map(|taken| taken.records as u64).sum();
        let most = u64::from(setting.max_entities);
        if all > most {
            let share = (most << 32) / all;
            let mut sum = 0;
            let mut rounded_up = 0;
            for taken in &mut shown {
                let part = taken.records as u64 * share;
                let records = (part + u64::from(self.index.blocks[taken.block].dither)) >> 32;
                sum += records;
                rounded_up += records - (part >> 32);
                taken.records = records as usize;
            }
            self.mend(&mut shown, share, rounded_up, sum, most);
            shown.retain(|taken| taken.records > 0);
        }
        shown
    }

    /// Makes the `sum` of what is taken the `most` there may be: where it is off by a few, as with blocks that are not equal or
    /// are a part of all, as many of those whose `share` was rounded up have it rounded down or the other way, evenly over them.
    /// So each has less than one more or less than its share.
    fn mend(&self, shown: &mut [Taken], share: u64, rounded_up: u64, sum: u64, most: u64) {
        let of = |taken: &Taken| self.index.blocks[taken.block].records.len();
        let low = |taken: &Taken| ((of(taken) as u64 * share) >> 32) as usize;
        if sum > most {
            let up = shown.iter_mut();
            let up = up.map(|taken| (taken.records - low(taken), taken));
            deal_out(sum - most, rounded_up, up, |taken, one| {
                taken.records -= one;
            });
        } else if sum < most {
            let rounded_down = shown.len() as u64 - rounded_up;
            let down = shown.iter_mut();
            let down = down.map(|taken| (1 + low(taken) - taken.records, taken));
            deal_out(most - sum, rounded_down, down, |taken, one| {
                taken.records += one;
            });
        }
    }
}

/// Deals `part` of `whole` out to those who have so much of it each, to none more than it has, and ends once it is dealt.
fn deal_out<T>(
    part: u64,
    whole: u64,
    to: impl Iterator<Item = (usize, T)>,
    mut give: impl FnMut(T, usize),
) {
    let (mut before, mut dealt) = (0, 0);
    for (has, one) in to {
        before += has as u64;
        let until = (before * part).div_ceil(whole);
        give(one, (until - dealt) as usize);
        dealt = until;
        if dealt == part {
            break;
        }
    }
}

/// Whether two boxes have a point in common.
fn touch(a: [i64; 4], b: [i64; 4]) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

/// Validates a partition's view, notes its boxes, and says where its records are.
fn read(
    index: &ViewIndex,
    partition: usize,
    frame: &Frame,
    boxes: &mut Vec<BlockBox>,
) -> Result<Bytes, ViewTickError> {
    let view = frame.access::<View>()?;
    let blocks = index.blocks_of(partition);
    let rows: usize = blocks.iter().map(|block| block.records.len()).sum();
    let is_same = view.blocks.len() == blocks.len()
        && view.records.len() == rows
        && (view.blocks.iter().zip(blocks)).all(|(block, of)| {
            block.site.to_native() == of.site
                && block.first_row.to_native() as usize == of.records.start
                && block.rows.to_native() as usize == of.records.len()
        });
    if !is_same {
        return Err(ViewTickError::Layout { partition });
    }
    boxes.extend(view.blocks.iter().map(|b| {
        [
            b.x0.to_native(),
            b.y0.to_native(),
            b.x1.to_native(),
            b.y1.to_native(),
        ]
    }));
    let records = view.records.as_slice().as_flattened();
    Ok(frame.payload().slice_ref(records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Sample};
    use crate::view_setting::{Subprotocol, Wish};

    fn total(taken: &[Taken]) -> usize {
        taken.iter().map(|taken| taken.records).sum()
    }

    #[test]
    fn records_are_those_of_the_frames_and_never_copied() {
        let tick = Sample::dense(640, 97).tick(3);
        for (block, of) in tick.index.blocks.iter().enumerate() {
            let all = Taken {
                block,
                records: of.records.len(),
            };
            let frame = &tick.frames[of.partition as usize];
            let inside = frame.payload().as_ptr_range();
            let records = tick.records(all).as_ptr_range();
            assert!(inside.start <= records.start && records.end <= inside.end);
            let view = frame.decode::<View>().unwrap();
            let first = view.records[of.records.clone()].as_flattened();
            assert_eq!(tick.records(all), first);
        }
    }

    #[test]
    fn a_cap_takes_an_even_share_of_every_block_and_never_more() {
        let tick = Sample::dense(2_000, 500).tick(1);
        let mut setting = ViewSetting::default();
        for most in [0, 1, 7, 100, 1_999, 2_000, 5_000] {
            setting.max_entities = most;
            let taken = tick.select(&setting);
            assert_eq!(total(&taken), 2_000.min(most as usize));
            for t in &taken {
                let of = tick.index.blocks[t.block].records.len();
                let share = (of as f64 * f64::from(most) / 2_000.0).min(of as f64);
                // Rounded either way, also for the sake of the sum.
                assert!(t.records <= of && (t.records as f64 - share).abs() < 1.001);
            }
        }
    }

    /// Blocks, by how many of their records are taken.
    fn taken_of(tick: &ViewTick, most: u32) -> Vec<usize> {
        let setting = ViewSetting {
            max_entities: most,
            ..ViewSetting::default()
        };
        let mut of = vec![0; tick.index.blocks.len()];
        for taken in tick.select(&setting) {
            of[taken.block] = taken.records;
        }
        of
    }

    /// It was once each n-th block: of a farm's even rows of sites that is a pattern of stripes.
    #[test]
    fn a_sample_of_equal_blocks_has_no_period_and_a_larger_one_has_all_of_a_smaller() {
        let tick = Sample::weeding(12_000, 1_200).tick(1);
        let blocks = tick.index.blocks.len();
        assert_eq!(blocks, 1_000, "sites of twelve");
        let quarter = taken_of(&tick, 250);
        for lag in 1..=40 {
            // One in sixteen where they know nothing of each other; all 250, or none, in a pattern.
            let pairs = quarter.windows(lag + 1).filter(|w| w[0] + w[lag] == 2);
            let pairs = pairs.count();
            assert!((25..=110).contains(&pairs), "{pairs} blocks {lag} apart");
        }
        let mut before = vec![0; blocks];
        for most in [1, 10, 250, 251, 999, 1_000, 5_000, 11_999, 12_000] {
            let of = taken_of(&tick, most);
            assert_eq!(of.iter().sum::<usize>(), most as usize);
            let lost = of.iter().zip(&before).filter(|(now, then)| now < then);
            // The sum of shares that were rounded may be one off, which is mended.
            assert!(lost.count() <= 1, "{most}");
            before = of;
        }
    }

    #[test]
    fn bounds_take_whole_blocks_by_their_boxes() {
        let tick = Sample::weeding(240, 60).tick(1);
        let world = tick.index.world_m;
        let wish = Wish {
            bounds_m: Some([world[0], world[1], world[0] + 1_000.0, world[1] + 1_000.0]),
            ..Wish::default()
        };
        let setting = wish.grant(Subprotocol::Json, world).unwrap().setting;
        let taken = tick.select(&setting);
        assert!(!taken.is_empty() && taken.len() < tick.index.blocks.len());
        let bounds = setting.tiles.unwrap().bounds_units();
        for (block, _) in tick.index.blocks.iter().enumerate() {
            let is_taken = taken.iter().any(|t| t.block == block);
            assert_eq!(is_taken, touch(bounds, tick.box_in_world(block)));
        }
    }

    #[test]
    fn views_that_are_not_laid_out_as_the_simulation_says_are_refused() {
        let mut sample = Sample::dense(640, 97);
        let good = sample.tick(1);
        let again = |frames| {
            let info = sample::info(&sample.config, 1);
            ViewTick::new(1, info, 0, good.index.clone(), frames).map(|_| ())
        };
        assert!(again(good.frames.clone()).is_ok());
        let mut short = good.frames.clone();
        short.pop();
        let refused = again(short);
        assert!(matches!(refused, Err(ViewTickError::Partitions { .. })));
        let mut swapped = good.frames.clone();
        swapped.swap(0, 1);
        let other = Sample::weeding(24, 24).tick(1).frames[0].clone();
        swapped[0] = other;
        let refused = again(swapped);
        assert!(matches!(
            refused,
            Err(ViewTickError::Layout { partition: 0 })
        ));
    }
}
