//! One frame: a header and a payload that is shared, never copied, between its holders.
//!
//! Payloads are rkyv archives, read in place after validation, but for checkpoints, which are the
//! kernel's own bytes. The checksum is made when a frame leaves for a socket and checked when one
//! arrives; inside a process it is not needed.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::{Archive, Archived, Deserialize, Portable, Serialize};

use crate::header::{self, Header, HeaderError, Kind, PayloadSeal};
use crate::limits::{HEADER_BYTES, PAYLOAD_ALIGN, max_payload_bytes};
use crate::pool::{Buffer, FramePool, PooledBuffer};

/// A type that is the one archive of a kind of frame.
pub trait Message: Archive {
    /// The kind.
    const KIND: Kind;
}

/// A header and its payload. Cloning shares the payload.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it is and what it is about.
    pub header: Header,
    payload: Bytes,
}

/// Why a frame cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Its header is refused.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The stream ended, or the bytes did, inside the payload.
    #[error("{kind:?} frame: {got} bytes of a payload of {len}")]
    Truncated {
        /// The frame's kind.
        kind: Kind,
        /// Bytes announced.
        len: u32,
        /// Bytes there were.
        got: usize,
    },
    /// Header or payload changed on the way.
    #[error("{kind:?} frame: checksum {found:08x}, header says {expected:08x}")]
    Checksum {
        /// The frame's kind.
        kind: Kind,
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        found: u32,
    },
    /// A frame of another kind than the reader asked for.
    #[error("{found:?} frame where {expected:?} was to be read")]
    Kind {
        /// What was to be read.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// The payload is no valid archive.
    #[error("{kind:?} frame: {source}")]
    Archive {
        /// The frame's kind.
        kind: Kind,
        /// What the validation found.
        source: rancor::Error,
    },
    /// A section table that does not fit its payload.
    #[error("{kind:?} frame: section {section} of {len} bytes in a payload of {payload}")]
    Section {
        /// The frame's kind.
        kind: Kind,
        /// Which section.
        section: &'static str,
        /// Bytes it claims.
        len: u64,
        /// Bytes of the payload.
        payload: usize,
    },
    /// More than the kind may hold was to be sent.
    #[error("{kind:?} frame: a payload of {len} bytes, at most {max} are sent")]
    TooLong {
        /// The frame's kind.
        kind: Kind,
        /// Bytes there were.
        len: usize,
        /// Most allowed.
        max: u32,
    },
}

impl Frame {
    /// A frame without a payload.
    #[must_use]
    pub fn bare(header: Header) -> Frame {
        Frame {
            header,
            payload: Bytes::new(),
        }
    }

    /// A frame of bytes that exist already: a checkpoint, or a payload that is passed on.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] beyond the kind's limit.
    pub fn from_bytes(header: Header, payload: impl Into<Bytes>) -> Result<Frame, FrameError> {
        let payload = payload.into();
        let (kind, len) = (header.kind, payload.len());
        let max = max_payload_bytes(kind);
        if len > max as usize {
            return Err(FrameError::TooLong { kind, len, max });
        }
        Ok(Frame { header, payload })
    }

    /// A frame of a filled buffer.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] beyond the kind's limit.
    pub fn from_buffer(header: Header, payload: PooledBuffer) -> Result<Frame, FrameError> {
        Frame::from_bytes(header, payload.freeze())
    }

    /// A frame that arrived. `payload` holds the bytes after the header.
    ///
    /// # Errors
    /// The first of: a refused header, too few or too many bytes, a wrong checksum.
    pub fn receive(head: &[u8; HEADER_BYTES], payload: PooledBuffer) -> Result<Frame, FrameError> {
        let (header, seal) = Header::decode(head)?;
        let (kind, got) = (header.kind, payload.bytes.len());
        if got != seal.len as usize {
            return Err(FrameError::Truncated {
                kind,
                len: seal.len,
                got,
            });
        }
        let found = checksum(head, &payload.bytes);
        if found != seal.crc {
            let expected = seal.crc;
            return Err(FrameError::Checksum {
                kind,
                expected,
                found,
            });
        }
        Ok(Frame {
            header,
            payload: payload.freeze(),
        })
    }

    /// Reads a frame from one contiguous piece of memory, copying the payload into an aligned buffer.
    ///
    /// # Errors
    /// As [`Frame::receive`].
    pub fn parse(pool: &FramePool, bytes: &[u8]) -> Result<Frame, FrameError> {
        let (header, seal) = Header::decode(bytes)?;
        let (kind, len) = (header.kind, seal.len);
        let (head, rest) = bytes
            .split_first_chunk()
            .ok_or(HeaderError::Short { len: bytes.len() })?;
        let payload = rest.get(..len as usize);
        let payload = payload.ok_or(FrameError::Truncated {
            kind,
            len,
            got: rest.len(),
        })?;
        let mut buffer = pool.take(payload.len());
        buffer.bytes.extend_from_slice(payload);
        pool.copies().received.fetch_add(u64::from(len), Relaxed);
        Frame::receive(head, buffer)
    }

    /// The same payload, not copied, under another header.
    #[must_use]
    pub fn with_header(&self, header: Header) -> Frame {
        Frame {
            header,
            payload: self.payload.clone(),
        }
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Bytes on the wire, the header included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// The header's bytes, checksum included, as they go before [`Frame::payload`] on a wire.
    #[must_use]
    pub fn wire_header(&self) -> [u8; HEADER_BYTES] {
        // The constructors hold the payload under a limit of 32 bits.
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut head = self.header.encode(PayloadSeal { len, crc: 0 });
        let crc = checksum(&head, &self.payload);
        header::put_crc(&mut head, crc);
        head
    }

    /// Reads the payload in place, validated.
    ///
    /// # Errors
    /// [`FrameError::Kind`] where it is not `T`'s frame, [`FrameError::Archive`] where it is no valid one.
    pub fn access<T>(&self) -> Result<&Archived<T>, FrameError>
    where
        T: Message,
        T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
    {
        self.expect_kind(T::KIND)?;
        access_bytes::<T::Archived>(T::KIND, &self.payload)
    }

    /// Reads the payload into a value of its own.
    ///
    /// # Errors
    /// As [`Frame::access`].
    pub fn decode<T>(&self) -> Result<T, FrameError>
    where
        T: Message,
        T::Archived: Portable
            + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
            + Deserialize<T, HighDeserializer<rancor::Error>>,
    {
        let archived = self.access::<T>()?;
        let kind = T::KIND;
        rkyv::deserialize(archived).map_err(|source| FrameError::Archive { kind, source })
    }

    /// Checks that the frame is of the kind a reader wants.
    ///
    /// # Errors
    /// [`FrameError::Kind`] where it is not.
    pub fn expect_kind(&self, expected: Kind) -> Result<(), FrameError> {
        let found = self.header.kind;
        if found == expected {
            Ok(())
        } else {
            Err(FrameError::Kind { expected, found })
        }
    }
}

/// A frame of `T`'s kind; the header's kind is set to it.
///
/// # Errors
/// [`FrameError::TooLong`] beyond the kind's limit.
pub fn encode<T>(pool: &FramePool, header: Header, value: &T) -> Result<Frame, FrameError>
where
    T: Message + for<'a> Serialize<HighSerializer<Buffer, ArenaHandle<'a>, rancor::Error>>,
{
    let kind = T::KIND;
    let mut buffer = pool.take_to_grow(kind, 0);
    append(pool, kind, &mut buffer, value)?;
    pool.note_needed(kind, buffer.bytes.len());
    Frame::from_buffer(Header { kind, ..header }, buffer)
}

/// Reads the frame's payload in place: [`Frame::access`] as a function.
///
/// # Errors
/// As [`Frame::access`].
pub fn access<T>(frame: &Frame) -> Result<&Archived<T>, FrameError>
where
    T: Message,
    T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    frame.access::<T>()
}

/// Writes a value's archive behind what the buffer holds and counts its bytes.
pub(crate) fn append<T>(
    pool: &FramePool,
    kind: Kind,
    buffer: &mut PooledBuffer,
    value: &T,
) -> Result<(), FrameError>
where
    T: for<'a> Serialize<HighSerializer<Buffer, ArenaHandle<'a>, rancor::Error>>,
{
    let before = buffer.bytes.len();
    debug_assert!(
        before.is_multiple_of(16),
        "archives start at the strictest alignment they use"
    );
    let writer = std::mem::take(&mut buffer.bytes);
    buffer.bytes = rkyv::api::high::to_bytes_in::<_, rancor::Error>(value, writer)
        .map_err(|source| FrameError::Archive { kind, source })?;
    let written = (buffer.bytes.len() - before) as u64;
    pool.copies().encoded.fetch_add(written, Relaxed);
    Ok(())
}

/// Validated access to an archive whose root ends the bytes.
pub(crate) fn access_bytes<A>(kind: Kind, bytes: &[u8]) -> Result<&A, FrameError>
where
    A: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    rkyv::access::<A, rancor::Error>(bytes).map_err(|source| FrameError::Archive { kind, source })
}

fn checksum(head: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header::without_crc(head)), payload)
}

const _: () = assert!(PAYLOAD_ALIGN >= 16);
