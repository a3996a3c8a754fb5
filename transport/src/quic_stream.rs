//! Frames on QUIC's streams: what waits for a peer, how a stream is written, and how one is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use quinn::{Connection, ReadExactError, RecvStream};
use tokio::sync::mpsc;

use crate::frame::{Frame, FrameError};
use crate::header::{Header, HeaderError};
use crate::limits::{
    HEADER_BYTES, MAX_QUEUED_BYTES_PER_PEER, MAX_QUEUED_FRAMES_PER_PEER, MAX_STREAMS_PER_PEER,
};
use crate::link::{Class, DisconnectReason, LinkEvent, PeerId, Transmit};
use crate::pool::FramePool;

/// What waits for one peer, by stream.
pub(crate) struct Outbound {
    connection: Connection,
    streams: BTreeMap<(Class, u64), mpsc::Sender<Frame>>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
}

impl Outbound {
    pub(crate) fn new(connection: Connection) -> Outbound {
        Outbound {
            connection,
            streams: BTreeMap::new(),
            waiting: Arc::default(),
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
        self.waiting.add(&frame)?;
        let ends = last && class != Class::Control;
        let stream = match self.streams.remove(&key) {
            Some(stream) => stream,
            None if self.streams.len() >= MAX_STREAMS_PER_PEER as usize => {
                return Err(self.waiting.slow());
            }
            None => self.open(class),
        };
        // A closed stream means that the connection is ending, which is reported on its own.
        if let Err(mpsc::error::TrySendError::Full(_)) = stream.try_send(frame) {
            return Err(self.waiting.slow());
        }
        if !ends {
            self.streams.insert(key, stream);
        }
        Ok(())
    }

    fn open(&self, class: Class) -> mpsc::Sender<Frame> {
        let (stream, frames) = mpsc::channel(MAX_QUEUED_FRAMES_PER_PEER);
        let (connection, waiting) = (self.connection.clone(), self.waiting.clone());
        tokio::spawn(async move {
            // An error here is the connection's end, which its own task reports.
            let _ = send_stream(&connection, class, frames, &waiting).await;
        });
        stream
    }
}

impl Waiting {
    fn add(&self, frame: &Frame) -> Result<(), DisconnectReason> {
        let frames = self.frames.fetch_add(1, Relaxed) + 1;
        let bytes = self.bytes.fetch_add(frame.wire_len(), Relaxed) + frame.wire_len();
        let fits = frames <= MAX_QUEUED_FRAMES_PER_PEER && bytes <= MAX_QUEUED_BYTES_PER_PEER;
        if fits { Ok(()) } else { Err(self.slow()) }
    }

    fn remove(&self, wire_len: usize) {
        self.frames.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(wire_len, Relaxed);
    }

    fn slow(&self) -> DisconnectReason {
        let (frames, bytes) = (self.frames.load(Relaxed), self.bytes.load(Relaxed));
        DisconnectReason::Slow { frames, bytes }
    }
}

/// Writes frames until the last, header and payload as chunks of their own: no payload byte is copied.
async fn send_stream(
    connection: &Connection,
    class: Class,
    mut frames: mpsc::Receiver<Frame>,
    waiting: &Waiting,
) -> Result<(), quinn::WriteError> {
    let mut stream = connection.open_uni().await?;
    stream.set_priority(class.priority())?;
    while let Some(frame) = frames.recv().await {
        let header = Bytes::copy_from_slice(&frame.wire_header());
        let wire_len = frame.wire_len();
        stream
            .write_all_chunks(&mut [header, frame.payload().clone()])
            .await?;
        waiting.remove(wire_len);
    }
    stream.finish()?;
    Ok(())
}

/// Reads a stream's frames to its end and hands them on; waits where the role is busy.
pub(crate) async fn receive_stream(
    peer: PeerId,
    mut stream: RecvStream,
    events: &mpsc::Sender<LinkEvent>,
    pool: &FramePool,
) -> Result<(), FrameError> {
    while let Some(frame) = receive_frame(&mut stream, pool).await? {
        if events.send(LinkEvent::Frame { peer, frame }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The next frame; `None` at the stream's end, and where the connection ended.
async fn receive_frame(
    stream: &mut RecvStream,
    pool: &FramePool,
) -> Result<Option<Frame>, FrameError> {
    let mut head = [0; HEADER_BYTES];
    match stream.read_exact(&mut head).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(_)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(len)) => return Err(HeaderError::Short { len }.into()),
    }
    let (header, seal) = Header::decode(&head)?;
    // Chunks are kept as they are until all have come, so a length that lies allocates nothing.
    let mut chunks = Vec::new();
    let mut missing = seal.len as usize;
    while missing > 0 {
        match stream.read_chunk(missing, true).await {
            Ok(Some(chunk)) => {
                missing -= chunk.bytes.len();
                chunks.push(chunk.bytes);
            }
            Ok(None) => {
                let (kind, len) = (header.kind, seal.len);
                return Err(FrameError::Truncated {
                    kind,
                    len,
                    got: len as usize - missing,
                });
            }
            Err(_) => return Ok(None),
        }
    }
    let mut payload = pool.take(seal.len as usize);
    for chunk in &chunks {
        payload.bytes.extend_from_slice(chunk);
    }
    pool.copies()
        .received
        .fetch_add(u64::from(seal.len), Relaxed);
    Frame::receive(&head, payload).map(Some)
}
