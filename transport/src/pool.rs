//! Aligned buffers that are used again, and the count of the bytes that were copied into them.
//!
//! A [`FramePool`] is cheap to clone and shared by everything in a process that makes frames. It
//! never holds more than the limits allow; what does not fit goes back to the allocator.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rkyv::util::AlignedVec;

use crate::header::Kind;
use crate::limits::{
    MAX_POOLED_BUFFER_BYTES, MAX_POOLED_BYTES, MAX_POOLED_PER_SIZE, PAYLOAD_ALIGN,
};

/// Bytes of a payload, aligned for every archive.
pub type Buffer = AlignedVec<PAYLOAD_ALIGN>;

const SMALLEST_SHIFT: u32 = 10;
const LARGEST_SHIFT: u32 = MAX_POOLED_BUFFER_BYTES.trailing_zeros();
const SIZES: usize = (LARGEST_SHIFT - SMALLEST_SHIFT + 1) as usize;
const _: () = assert!(MAX_POOLED_BUFFER_BYTES.is_power_of_two());
/// Sizes above the one that was asked for at which a free buffer is still lent: a small frame that is
/// kept for long never keeps a large buffer.
const SIZES_ABOVE: usize = 1;
/// What a kind of frame is thought to need falls by one part in this many with each that needs less.
const FORGETS_ONE_IN: usize = 64;

/// Buffers to make frames of.
#[derive(Clone, Debug, Default)]
pub struct FramePool {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    free: Mutex<Free>,
    copies: Copies,
    /// Bytes that the frames of each kind lately needed at most.
    needed: [AtomicUsize; Kind::ALL.len()],
}

#[derive(Debug)]
struct Free {
    by_size: [Vec<Buffer>; SIZES],
    bytes: usize,
}

impl Default for Free {
    fn default() -> Self {
        Free {
            by_size: std::array::from_fn(|_| Vec::new()),
            bytes: 0,
        }
    }
}

/// Bytes that were moved in memory for frames since the pool was made.
#[derive(Debug, Default)]
pub struct Copies {
    /// Copied on the way out, of what had been written already. The kernel's columns never are.
    pub sent: AtomicU64,
    /// Copied from a socket's chunks into an aligned buffer: each received payload byte once.
    pub received: AtomicU64,
    /// Written by encoding values into variable archives.
    pub encoded: AtomicU64,
    /// Written as checkpoints, once and straight into their frames.
    pub checkpoints: AtomicU64,
    /// Bytes of buffers that had to be allocated.
    pub allocated: AtomicU64,
}

impl FramePool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> FramePool {
        FramePool::default()
    }

    /// The pool's counters.
    #[must_use]
    pub fn copies(&self) -> &Copies {
        &self.shared.copies
    }

    /// An empty buffer with room for `capacity` bytes, and for not much more.
    #[must_use]
    pub fn take(&self, capacity: usize) -> PooledBuffer {
        self.take_within(capacity, capacity)
    }

    /// An empty buffer with room for `capacity` bytes, for a frame that may grow: one that grew for
    /// such a frame before, if it is free.
    #[must_use]
    pub(crate) fn take_to_grow(&self, kind: Kind, capacity: usize) -> PooledBuffer {
        let most = self.needed(kind).load(Relaxed);
        self.take_within(capacity, most.max(capacity))
    }

    /// What a frame that might have grown needed in the end.
    pub(crate) fn note_needed(&self, kind: Kind, bytes: usize) {
        let needed = self.needed(kind);
        let before = needed.load(Relaxed);
        needed.store(bytes.max(before - before / FORGETS_ONE_IN), Relaxed);
    }

    fn needed(&self, kind: Kind) -> &AtomicUsize {
        &self.shared.needed[kind as usize - 1]
    }

    fn take_within(&self, capacity: usize, most: usize) -> PooledBuffer {
        let found = size_at_least(capacity).and_then(|least| {
            let most = size_at_least(most).map_or(SIZES, |size| size + SIZES_ABOVE);
            self.shared.lock().take(least, most.min(SIZES - 1))
        });
        let bytes = found.unwrap_or_else(|| {
            let capacity = capacity.max(1 << SMALLEST_SHIFT).next_power_of_two();
            self.shared
                .copies
                .allocated
                .fetch_add(capacity as u64, Relaxed);
            Buffer::with_capacity(capacity)
        });
        debug_assert!(bytes.is_empty());
        PooledBuffer {
            bytes,
            home: Some(self.shared.clone()),
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Free {
    /// The smallest buffer there is of these sizes.
    fn take(&mut self, least: usize, most: usize) -> Option<Buffer> {
        let buffer = self.by_size[least..=most].iter_mut().find_map(Vec::pop)?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn put(&mut self, mut buffer: Buffer) {
        let capacity = buffer.capacity();
        let Some(size) = size_at_most(capacity) else {
            return;
        };
        let list = &mut self.by_size[size];
        if list.len() < MAX_POOLED_PER_SIZE && self.bytes + capacity <= MAX_POOLED_BYTES {
            buffer.clear();
            list.push(buffer);
            self.bytes += capacity;
        }
    }
}

/// Index of the smallest pooled size that holds `bytes`.
fn size_at_least(bytes: usize) -> Option<usize> {
    let shift = bytes
        .max(1)
        .next_power_of_two()
        .trailing_zeros()
        .max(SMALLEST_SHIFT);
    (shift <= LARGEST_SHIFT).then(|| (shift - SMALLEST_SHIFT) as usize)
}

/// Index of the largest pooled size that `capacity` holds.
fn size_at_most(capacity: usize) -> Option<usize> {
    let shift = capacity.checked_ilog2()?;
    (SMALLEST_SHIFT..=LARGEST_SHIFT)
        .contains(&shift)
        .then(|| (shift - SMALLEST_SHIFT) as usize)
}

/// A buffer on loan. Dropped, it goes back; [frozen](Self::freeze), it goes back with the last clone.
#[derive(Debug)]
pub struct PooledBuffer {
    /// The bytes.
    pub bytes: Buffer,
    home: Option<Arc<Shared>>,
}

impl PooledBuffer {
    /// Makes the bytes shareable. They are not moved.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.lock().put(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_clone_is_dropped() {
        let pool = FramePool::new();
        let mut buffer = pool.take(5_000);
        buffer.bytes.extend_from_slice(&[7; 5_000]);
        let at = buffer.bytes.as_ptr();
        let bytes = buffer.freeze();
        assert_eq!(bytes.as_ptr(), at, "freezing moves nothing");
        let other = bytes.slice(64..);
        drop(bytes);
        assert_ne!(pool.take(5_000).bytes.as_ptr(), at, "still lent");
        drop(other);
        let allocated = pool.copies().allocated.load(Relaxed);
        let (a, b) = (pool.take(5_000), pool.take(5_000));
        assert!(a.bytes.as_ptr() == at || b.bytes.as_ptr() == at);
        assert!(a.bytes.is_empty() && b.bytes.is_empty());
        assert_eq!(pool.copies().allocated.load(Relaxed), allocated);
    }

    #[test]
    fn a_buffer_that_grew_serves_the_next_frame_of_its_kind() {
        let pool = FramePool::new();
        let mut buffer = pool.take_to_grow(Kind::Result, 100);
        buffer.bytes.extend_from_slice(&[7; 70_000]);
        pool.note_needed(Kind::Result, buffer.bytes.len());
        let at = buffer.bytes.as_ptr();
        drop(buffer);
        let other = pool.take_to_grow(Kind::Dispatch, 100);
        assert_ne!(other.bytes.as_ptr(), at, "it never needed so much");
        let next = pool.take_to_grow(Kind::Result, 100);
        assert_eq!(next.bytes.as_ptr(), at);
        drop(next);
        for _ in 0..1_000 {
            pool.note_needed(Kind::Result, 100);
        }
        let later = pool.take_to_grow(Kind::Result, 100);
        assert_ne!(later.bytes.as_ptr(), at, "nor does this one any more");
    }

    /// The largest free buffer was once lent to whoever asked for a few bytes, and kept as long.
    #[test]
    fn a_small_frame_is_not_lent_a_large_buffer() {
        let pool = FramePool::new();
        drop(pool.take(MAX_POOLED_BUFFER_BYTES));
        for capacity in [0, 100, 5_000, 1 << 20] {
            let lent = pool.take(capacity).bytes.capacity();
            assert!(lent <= 4 * capacity.max(1 << SMALLEST_SHIFT), "{lent}");
            drop(pool.take(2 * capacity));
        }
        let largest = pool.take(MAX_POOLED_BUFFER_BYTES / 2);
        assert_eq!(largest.bytes.capacity(), MAX_POOLED_BUFFER_BYTES);
    }

    #[test]
    fn buffers_are_aligned() {
        let pool = FramePool::new();
        for capacity in [0, 1, 64, 1_000, 70_000] {
            let buffer = pool.take(capacity);
            assert!(buffer.bytes.capacity() >= capacity);
            assert_eq!(buffer.bytes.as_ptr() as usize % PAYLOAD_ALIGN, 0);
        }
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_limits() {
        let pool = FramePool::new();
        let lent: Vec<_> = (0..MAX_POOLED_PER_SIZE + 9)
            .map(|_| pool.take(100))
            .collect();
        drop(lent);
        assert_eq!(pool.shared.lock().by_size[0].len(), MAX_POOLED_PER_SIZE);
        drop(pool.take(2 * MAX_POOLED_BUFFER_BYTES));
        assert_eq!(
            pool.shared.lock().bytes,
            MAX_POOLED_PER_SIZE << SMALLEST_SHIFT
        );
    }
}
