//! View frames: the rows of one partition as a dashboard shows them.
//!
//! The archive of `n` blocks and `m` records is laid out once per partition. Its buffers come back
//! with the layout in them, so a view writes nothing but the numbers, the records straight by the kernel.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kernel::view::{ArchivedViewBlock, ViewBlock};
use rkyv::munge::munge;
use rkyv::rancor;
use rkyv::seal::Seal;
use rkyv::vec::ArchivedVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::frame::{self, Frame, FrameError, Message};
use crate::header::{Header, Kind};
use crate::pool::{Buffer, FramePool};

/// Frames of one partition's views that are kept for the next: one being written, one on its way.
const MAX_KEPT: usize = 2;

/// The archive of a view.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Boxes, by first row.
    pub blocks: Vec<ViewBlock>,
    /// A record a row, in the order of the blocks.
    pub records: Vec<[u8; 8]>,
}

impl Message for View {
    const KIND: Kind = Kind::View;
}

/// Makes the view frames of one partition.
#[derive(Debug)]
pub struct ViewWriter {
    template: Buffer,
    blocks: Vec<ViewBlock>,
    kept: Arc<Mutex<Vec<Buffer>>>,
}

impl ViewWriter {
    /// Lays the frame out.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] where so many rows do not fit a view.
    pub fn new(pool: &FramePool, blocks: u32, rows: u32) -> Result<ViewWriter, FrameError> {
        let blocks = vec![ViewBlock::default(); blocks as usize];
        let view = View {
            blocks: blocks.clone(),
            records: vec![[0; 8]; rows as usize],
        };
        let laid_out = frame::encode(pool, Header::new(Kind::View), &view)?;
        let mut template = Buffer::with_capacity(laid_out.payload().len());
        template.extend_from_slice(laid_out.payload());
        Ok(ViewWriter {
            template,
            blocks,
            kept: Arc::default(),
        })
    }

    /// Makes a frame; `fill` writes every block and every record. The header's kind is set.
    ///
    /// # Errors
    /// [`FrameError::Archive`] where the layout was damaged, which is an error of this program.
    pub fn write(
        &mut self,
        header: Header,
        fill: impl FnOnce(&mut [ViewBlock], &mut [[u8; 8]]),
    ) -> Result<Frame, FrameError> {
        let kind = Kind::View;
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut buffer = kept.unwrap_or_else(|| self.template.clone());
        let view = rkyv::access_mut::<ArchivedView, rancor::Error>(&mut buffer)
            .map_err(|source| FrameError::Archive { kind, source })?;
        munge!(let ArchivedView { blocks, records } = view);
        fill(
            &mut self.blocks,
            ArchivedVec::as_slice_seal(records).unseal(),
        );
        write_blocks(ArchivedVec::as_slice_seal(blocks), &self.blocks);
        let lent = Lent {
            buffer,
            home: self.kept.clone(),
        };
        Frame::from_bytes(Header { kind, ..header }, Bytes::from_owner(lent))
    }
}

fn write_blocks(mut archived: Seal<'_, [ArchivedViewBlock]>, blocks: &[ViewBlock]) {
    for (index, block) in blocks.iter().enumerate() {
        let place = archived.as_mut().index(index);
        munge!(let ArchivedViewBlock { site, first_row, rows, x0, y0, x1, y1 } = place);
        *site.unseal() = block.site.into();
        *first_row.unseal() = block.first_row.into();
        *rows.unseal() = block.rows.into();
        *x0.unseal() = block.x0.into();
        *y0.unseal() = block.y0.into();
        *x1.unseal() = block.x1.into();
        *y1.unseal() = block.y1.into();
    }
}

/// A laid-out buffer on loan: it goes back to its partition with the last clone of its frame.
struct Lent {
    buffer: Buffer,
    home: Arc<Mutex<Vec<Buffer>>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn records_are_written_where_the_frame_sends_them_from() {
        let pool = FramePool::new();
        let mut writer = ViewWriter::new(&pool, 2, 100).unwrap();
        let encoded = pool.copies().encoded.load(Relaxed);
        let mut last: *const [u8; 8] = std::ptr::null();
        for n in 0..3u8 {
            let mut at = std::ptr::null();
            let frame = writer
                .write(Header::new(Kind::View), |blocks, records| {
                    blocks[1] = ViewBlock {
                        site: 9,
                        x0: -5,
                        ..ViewBlock::default()
                    };
                    records.fill([n; 8]);
                    at = records.as_ptr();
                })
                .unwrap();
            let view = frame.access::<View>().unwrap();
            assert_eq!(view.records.as_slice().as_ptr(), at, "written in place");
            assert!(view.records.iter().all(|r| *r == [n; 8]));
            assert_eq!(
                (
                    view.blocks[1].site.to_native(),
                    view.blocks[1].x0.to_native()
                ),
                (9, -5)
            );
            assert!(
                last.is_null() || last == at,
                "the laid-out buffer is used again"
            );
            last = at;
        }
        assert_eq!(
            pool.copies().encoded.load(Relaxed),
            encoded,
            "laid out once"
        );
        assert_eq!(pool.copies().sent.load(Relaxed), 0);
    }
}
