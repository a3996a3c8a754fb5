//! Frames on QUIC's streams: what waits for a peer, how a stream is written, and how one is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use bytes::Bytes;
use quinn::{Connection, ReadExactError, RecvStream, SendStream};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc};

use crate::frame::{Frame, FrameError};
use crate::header::{Header, HeaderError};
use crate::limits::{
    Bounds, HEADER_BYTES, MAX_HELD_CHUNKS, MAX_QUEUED_FRAMES_PER_PEER, MAX_STREAMS_PER_PEER,
};
use crate::link::{Class, DisconnectReason, LinkEvent, PeerId, Transmit};
use crate::pool::{FramePool, PooledBuffer};
use crate::quic_share::{BulkShare, Taken};

/// What waits for one peer, by stream.
pub(crate) struct Outbound {
    connection: Connection,
    streams: BTreeMap<(Class, u64), mpsc::Sender<Queued>>,
    waiting: Arc<Waiting>,
    share: BulkShare,
}

impl Outbound {
    pub(crate) fn new(connection: Connection, bounds: &Bounds) -> Outbound {
        Outbound {
            connection,
            streams: BTreeMap::new(),
            waiting: Arc::new(Waiting::new(bounds)),
            share: BulkShare::new(),
        }
    }

    /// Queues a frame on its stream, which is opened where it is new. Never waits.
    pub(crate) fn send(&mut self, transmit: Transmit) -> Result<(), DisconnectReason> {
        let Transmit {
            class,
            group,
            frame,
            last,
            ..
        } = transmit;
        let key = (class, if class == Class::Control { 0 } else { group });
        let queued = self.waiting.add(frame)?;
        let ends = last && class != Class::Control;
        let stream = match self.streams.remove(&key) {
            Some(stream) => stream,
            None if self.streams.len() >= MAX_STREAMS_PER_PEER as usize => {
                return Err(DisconnectReason::TooManyStreams {
                    limit: MAX_STREAMS_PER_PEER,
                });
            }
            None => self.open(class),
        };
        // A closed stream means that the connection is ending, which is reported on its own.
        if let Err(mpsc::error::TrySendError::Full(_)) = stream.try_send(queued) {
            return Err(self.waiting.slow());
        }
        if !ends {
            self.streams.insert(key, stream);
        }
        Ok(())
    }

    /// Waits until the peer has all that was queued, or until the connection ends. Takes nothing more.
    pub(crate) async fn drain(self) {
        let Outbound {
            connection,
            streams,
            waiting,
            ..
        } = self;
        drop(streams);
        tokio::select! {
            () = waiting.emptied() => {}
            _ = connection.closed() => {}
        }
    }

    fn open(&self, class: Class) -> mpsc::Sender<Queued> {
        let (stream, frames) = mpsc::channel(MAX_QUEUED_FRAMES_PER_PEER);
        let (connection, share) = (self.connection.clone(), self.share.clone());
        tokio::spawn(async move {
            // An error here is the connection's end, which its own task reports.
            let _ = send_stream(&connection, class, frames, &share).await;
        });
        stream
    }
}

/// Frames that were queued and that the peer has not acknowledged.
struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    max_frames: usize,
    max_bytes: usize,
    empty: Notify,
}

impl Waiting {
    fn new(bounds: &Bounds) -> Waiting {
        Waiting {
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_frames: bounds.queued_frames_per_peer,
            max_bytes: bounds.queued_bytes_per_peer,
            empty: Notify::new(),
        }
    }

    fn add(self: &Arc<Self>, frame: Frame) -> Result<Queued, DisconnectReason> {
        let wire_len = frame.wire_len();
        let frames = self.frames.fetch_add(1, AcqRel) + 1;
        let bytes = self.bytes.fetch_add(wire_len, AcqRel) + wire_len;
        let place = Place {
            waiting: self.clone(),
            wire_len,
        };
        if frames > self.max_frames || bytes > self.max_bytes {
            return Err(DisconnectReason::Slow { frames, bytes });
        }
        Ok(Queued { frame, place })
    }

    fn slow(&self) -> DisconnectReason {
        let (frames, bytes) = (self.frames.load(Acquire), self.bytes.load(Acquire));
        DisconnectReason::Slow { frames, bytes }
    }

    /// Waits until nothing does. Only for a queue that nothing is added to any more.
    async fn emptied(&self) {
        while self.frames.load(Acquire) > 0 {
            self.empty.notified().await;
        }
    }
}

/// A frame's place among those that wait, given up when it is dropped.
struct Place {
    waiting: Arc<Waiting>,
    wire_len: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.bytes.fetch_sub(self.wire_len, AcqRel);
        if self.waiting.frames.fetch_sub(1, AcqRel) == 1 {
            self.waiting.empty.notify_one();
        }
    }
}

struct Queued {
    frame: Frame,
    place: Place,
}

impl Queued {
    /// The frame as QUIC takes it: a header, and the payload where it lies. QUIC drops them when the
    /// peer has acknowledged the last byte, and with them the frame's place and its room.
    fn into_chunks(self, share: Option<Taken>) -> [Bytes; 2] {
        let Queued { frame, place } = self;
        let header = Bytes::copy_from_slice(&frame.wire_header());
        let payload = frame.payload().clone();
        let held = |bytes| {
            Bytes::from_owner(InFlight {
                bytes,
                _place: place,
                _share: share,
            })
        };
        if payload.is_empty() {
            [held(header), payload]
        } else {
            [header, held(payload)]
        }
    }
}

/// Bytes that QUIC holds, and what they occupy.
struct InFlight {
    bytes: Bytes,
    _place: Place,
    _share: Option<Taken>,
}

impl AsRef<[u8]> for InFlight {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes frames until the last, header and payload as chunks of their own: no payload byte is copied.
/// A stream is opened when its first frame has room, so that those that wait take no stream.
async fn send_stream(
    connection: &Connection,
    class: Class,
    mut frames: mpsc::Receiver<Queued>,
    share: &BulkShare,
) -> Result<(), quinn::WriteError> {
    let mut opened = None;
    while let Some(queued) = frames.recv().await {
        // Room is given back by what QUIC holds for as long as this holds the connection: one that is
        // gone must not be waited on.
        let taken = tokio::select! {
            biased;
            taken = share.take(class, queued.frame.wire_len()) => taken,
            error = connection.closed() => return Err(error.into()),
        };
        let stream = match &mut opened {
            Some(stream) => stream,
            None => opened.insert(open_stream(connection, class).await?),
        };
        stream
            .write_all_chunks(&mut queued.into_chunks(taken))
            .await?;
    }
    if let Some(mut stream) = opened {
        stream.finish()?;
    }
    Ok(())
}

/// A new stream that QUIC serves in its class's order.
pub(crate) async fn open_stream(
    connection: &Connection,
    class: Class,
) -> Result<SendStream, quinn::WriteError> {
    let stream = connection.open_uni().await?;
    stream.set_priority(class.priority())?;
    Ok(stream)
}

/// Reads a stream's frames to its end and hands them on; waits where the role is busy, and where the
/// peer's frames under way leave no room.
pub(crate) async fn receive_stream(
    peer: PeerId,
    mut stream: RecvStream,
    events: &mpsc::Sender<LinkEvent>,
    pool: &FramePool,
    room: &Semaphore,
) -> Result<(), FrameError> {
    while let Some((frame, _room)) = receive_frame(&mut stream, pool, room).await? {
        if events.send(LinkEvent::Frame { peer, frame }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The next frame and the room it takes; `None` at the stream's end, and where the connection ended.
async fn receive_frame<'r>(
    stream: &mut RecvStream,
    pool: &FramePool,
    room: &'r Semaphore,
) -> Result<Option<(Frame, SemaphorePermit<'r>)>, FrameError> {
    let mut head = [0; HEADER_BYTES];
    match stream.read_exact(&mut head).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(_)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(len)) => return Err(HeaderError::Short { len }.into()),
    }
    let (header, seal) = Header::decode(&head)?;
    let room = room.acquire_many(seal.len).await;
    let room = room.expect("the room is never closed");
    let mut arriving = Arriving::default();
    while arriving.len < seal.len as usize {
        let missing = seal.len as usize - arriving.len;
        match stream.read_chunk(missing, true).await {
            Ok(Some(chunk)) => arriving.push(chunk.bytes, seal.len, pool),
            Ok(None) => {
                let (kind, len, got) = (header.kind, seal.len, arriving.len);
                return Err(FrameError::Truncated { kind, len, got });
            }
            Err(_) => return Ok(None),
        }
    }
    let payload = arriving.finish(seal.len, pool);
    Ok(Some((Frame::receive(&head, payload)?, room)))
}

/// A payload on its way in. Its chunks are kept as they are until all have come, so that a length that
/// lies allocates nothing; many chunks, each of which may hold on to a whole datagram, are copied sooner.
#[derive(Default)]
struct Arriving {
    chunks: Vec<Bytes>,
    buffer: Option<PooledBuffer>,
    len: usize,
}

impl Arriving {
    fn push(&mut self, chunk: Bytes, announced: u32, pool: &FramePool) {
        self.len += chunk.len();
        self.chunks.push(chunk);
        if self.chunks.len() == MAX_HELD_CHUNKS {
            self.copy(announced, pool);
        }
    }

    fn copy(&mut self, announced: u32, pool: &FramePool) -> &mut PooledBuffer {
        let take = || pool.take(announced as usize);
        let buffer = self.buffer.get_or_insert_with(take);
        for chunk in self.chunks.drain(..) {
            buffer.bytes.extend_from_slice(&chunk);
            let copied = chunk.len() as u64;
            pool.copies().received.fetch_add(copied, Relaxed);
        }
        buffer
    }

    fn finish(mut self, announced: u32, pool: &FramePool) -> PooledBuffer {
        self.copy(announced, pool);
        self.buffer.expect("the copy made one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Kind;

    fn frame(len: usize) -> Frame {
        Frame::from_bytes(Header::new(Kind::Checkpoint), vec![7; len]).unwrap()
    }

    #[test]
    fn a_queue_takes_what_fits_exactly_and_nothing_more() {
        for (queued_frames_per_peer, queued_bytes_per_peer) in [(3, 1 << 20), (99, 3 * 164)] {
            let waiting = Arc::new(Waiting::new(&Bounds {
                queued_frames_per_peer,
                queued_bytes_per_peer,
                ..Bounds::default()
            }));
            let add = || waiting.add(frame(100));
            let mut queued = vec![add().unwrap(), add().unwrap(), add().unwrap()];
            let error = add().map(|_| ()).unwrap_err();
            let expected = DisconnectReason::Slow {
                frames: 4,
                bytes: 4 * 164,
            };
            assert_eq!(error, expected);
            queued.pop();
            assert!(add().is_ok(), "there is room again");
        }
    }

    #[test]
    fn a_payload_goes_to_quic_where_it_lies_and_waits_until_quic_lets_it_go() {
        for len in [0, 5_000] {
            let waiting = Arc::new(Waiting::new(&Bounds::default()));
            let sent = frame(len);
            let queued = waiting.add(sent.clone()).unwrap();
            let [header, payload] = queued.into_chunks(None);
            assert_eq!(header, sent.wire_header()[..]);
            assert_eq!(payload, *sent.payload());
            if len > 0 {
                assert_eq!(payload.as_ptr(), sent.payload().as_ptr());
            }
            let waits = || (waiting.frames.load(Relaxed), waiting.bytes.load(Relaxed));
            assert_eq!(waits(), (1, HEADER_BYTES + len));
            drop((header, payload));
            assert_eq!(waits(), (0, 0));
        }
    }

    /// One byte a chunk, as a stranger may send it: copied once all the same, in one buffer, and never
    /// held by the thousand.
    #[test]
    fn chunks_are_held_where_they_lie_up_to_a_bound_and_copied_once() {
        const LEN: u32 = 5_000;
        let pool = FramePool::new();
        let whole = Bytes::from_iter((0..LEN).map(|n| n as u8));
        let mut arriving = Arriving::default();
        for at in 0..LEN as usize {
            arriving.push(whole.slice(at..=at), LEN, &pool);
            assert!(arriving.chunks.len() < MAX_HELD_CHUNKS);
            if at + 1 < MAX_HELD_CHUNKS {
                assert_eq!(arriving.chunks[at].as_ptr(), whole[at..].as_ptr());
                assert_eq!(pool.copies().allocated.load(Relaxed), 0);
            }
        }
        let payload = arriving.finish(LEN, &pool);
        assert_eq!(payload.bytes.as_slice(), whole);
        assert_eq!(pool.copies().received.load(Relaxed), u64::from(LEN));
        assert_eq!(pool.copies().allocated.load(Relaxed), 8_192);
    }
}
