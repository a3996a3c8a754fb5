//! Aligned buffers that are used again, and the count of the bytes that were copied into them.
//!
//! A [`FramePool`] is cheap to clone and shared by everything in a process that makes frames. It
//! never holds more than the limits allow; what does not fit goes back to the allocator.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rkyv::util::AlignedVec;

use crate::limits::{
    MAX_POOLED_BUFFER_BYTES, MAX_POOLED_BYTES, MAX_POOLED_PER_SIZE, PAYLOAD_ALIGN,
};

/// Bytes of a payload, aligned for every archive.
pub type Buffer = AlignedVec<PAYLOAD_ALIGN>;

const SMALLEST_SHIFT: u32 = 10;
const LARGEST_SHIFT: u32 = MAX_POOLED_BUFFER_BYTES.trailing_zeros();
const SIZES: usize = (LARGEST_SHIFT - SMALLEST_SHIFT + 1) as usize;
const _: () = assert!(MAX_POOLED_BUFFER_BYTES.is_power_of_two());

/// Buffers to make frames of.
#[derive(Clone, Debug, Default)]
pub struct FramePool {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    free: Mutex<Free>,
    copies: Copies,
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

    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn take(&self, capacity: usize) -> PooledBuffer {
        let found = size_at_least(capacity).and_then(|size| self.shared.lock().take(size));
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
    /// The smallest buffer there is of at least this size: one that grew is used again, too.
    fn take(&mut self, size: usize) -> Option<Buffer> {
        let buffer = self.by_size[size..].iter_mut().find_map(Vec::pop)?;
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
    fn a_buffer_that_grew_serves_those_who_ask_for_little() {
        let pool = FramePool::new();
        let mut buffer = pool.take(100);
        buffer.bytes.extend_from_slice(&[7; 70_000]);
        let at = buffer.bytes.as_ptr();
        drop(buffer);
        assert_eq!(pool.take(100).bytes.as_ptr(), at);
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
