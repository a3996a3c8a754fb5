//! WebSockets: the only module that knows the library that speaks them.
//!
//! The library caps one frame; what it does not is capped here: fragments and the length of a message, frames
//! in a time, and whether they are masked. A [`SocketReader`] belongs to one task and is read to its end there, for
//! its reads must not be given up in the middle; a [`SocketWriter`] belongs to another.

use std::cell::OnceCell;

use axum::body::Body;
use axum::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{Request, Response};
use bytes::{Bytes, BytesMut};
use fastwebsockets::upgrade::UpgradeFut;
use fastwebsockets::{Frame, OpCode, Payload, WebSocketError, WebSocketRead, WebSocketWrite};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::mailbox::Close;
use crate::shared_io::SharedIo;
use crate::stream_limits::{
    MAX_CLIENT_FRAGMENTS, MAX_CLIENT_FRAME_BURST, MAX_CLIENT_FRAME_BYTES, MAX_CLIENT_FRAMES_PER_S,
    MAX_CLIENT_MESSAGE_BYTES,
};

/// Most bytes of a control frame's payload, by RFC 6455.
const MAX_CONTROL_BYTES: usize = 125;

/// Bytes that are thrown away at a time.
const DRAIN_BYTES: usize = 4 << 10;

type Io = TokioIo<Upgraded>;

/// An upgrade that has been answered and not happened yet.
pub(crate) struct Upgrading(UpgradeFut);

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    fastwebsockets::upgrade::is_upgrade_request(request)
}

/// The answer to a request for a WebSocket; `None` where its key or version is none that is spoken.
pub(crate) fn upgrade(
    request: &mut Request<Body>,
    subprotocol: Option<&'static str>,
) -> Option<(Response<Body>, Upgrading)> {
    let (response, upgrading) = fastwebsockets::upgrade::upgrade(request).ok()?;
    let mut response = response.map(Body::new);
    if let Some(name) = subprotocol {
        let name = HeaderValue::from_static(name);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    Some((response, Upgrading(upgrading)))
}

impl Upgrading {
    /// Both ends of the WebSocket; `None` where the connection ended before.
    pub(crate) async fn open(self) -> Option<(SocketReader, SocketWriter)> {
        let mut socket = self.0.await.ok()?;
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        // The library refuses what is as long as this.
        socket.set_max_message_size(MAX_CLIENT_FRAME_BYTES + 1);
        let halves = OnceCell::new();
        let (read, write) = socket.split(|io| {
            let (read, write) = tokio::io::split(io);
            let (read, write) = (SharedIo::new(read), SharedIo::new(write));
            // It is split once.
            let _ = halves.set((read.clone(), write.clone()));
            (read, write)
        });
        let (raw_read, raw_write) = halves.into_inner()?;
        let reader = SocketReader {
            socket: read,
            raw: raw_read,
            assembly: Assembly::default(),
            allowance: Allowance::new(Instant::now()),
        };
        let writer = SocketWriter {
            socket: write,
            raw: raw_write,
        };
        Some((reader, writer))
    }
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A text message.
    Text(String),
    /// Asks whether this side is there.
    Ping(Bytes),
    /// Says that it is.
    Pong,
    /// It closes, or answers this side's close.
    Close,
}

/// Nothing more can be read as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client broke a rule, and is to be closed.
    Close(Close),
    /// The connection is gone.
    Gone,
}

/// The end that a client writes to.
pub(crate) struct SocketReader {
    socket: WebSocketRead<SharedIo<ReadHalf<Io>>>,
    /// What it reads from.
    raw: SharedIo<ReadHalf<Io>>,
    assembly: Assembly,
    allowance: Allowance,
}

impl SocketReader {
    /// The next thing that the client sent. It must not be given up: what it has read of a frame would be lost.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) async fn next(&mut self) -> Result<Incoming, Fault> {
        loop {
            let frame = frame(&mut self.socket).await?;
            if !self.allowance.take(Instant::now()) {
                return Err(Fault::Close(Close::TooMany));
            }
            if let Some(incoming) = self.assembly.push(frame).map_err(Fault::Close)? {
                return Ok(incoming);
            }
        }
    }

    /// Reads on, whatever it is, until the client is gone: a close frame that lies before bytes which nobody read might
    /// never be delivered. What comes need not be frames: where one is refused, nobody knows where the next begins.
    pub(crate) async fn drain(&mut self) {
        let mut bytes = [0; DRAIN_BYTES];
        while matches!(self.raw.read(&mut bytes).await, Ok(len) if len > 0) {}
    }
}

async fn frame(socket: &mut WebSocketRead<SharedIo<ReadHalf<Io>>>) -> Result<Frame<'_>, Fault> {
    // Neither pongs nor closes are sent by the reader, so there is never anything to send.
    let mut nothing = |_: Frame<'_>| async { Ok::<(), std::io::Error>(()) };
    socket
        .read_frame(&mut nothing)
        .await
        .map_err(|error| fault(&error))
}

fn fault(error: &WebSocketError) -> Fault {
    Fault::Close(match error {
        WebSocketError::FrameTooLarge => Close::TooBig("frame_too_large"),
        WebSocketError::PingFrameTooLarge => Close::Protocol("control_frame_too_large"),
        WebSocketError::ControlFrameFragmented => Close::Protocol("control_frame_fragmented"),
        WebSocketError::ReservedBitsNotZero => Close::Protocol("reserved_bits"),
        WebSocketError::InvalidValue => Close::Protocol("unknown_opcode"),
        WebSocketError::InvalidUTF8 => Close::NoUtf8,
        _ => return Fault::Gone,
    })
}

/// Puts the fragments of messages together, within bounds.
#[derive(Debug, Default)]
struct Assembly {
    /// Fragments so far; 0 outside a message.
    fragments: usize,
    text: BytesMut,
}

impl Assembly {
    fn push(&mut self, mut frame: Frame<'_>) -> Result<Option<Incoming>, Close> {
        if !is_masked(&mut frame) {
            return Err(Close::Protocol("unmasked_frame"));
        }
        let len = frame.payload.len();
        let is_control = matches!(frame.opcode, OpCode::Close | OpCode::Ping | OpCode::Pong);
        if is_control && len > MAX_CONTROL_BYTES {
            return Err(Close::Protocol("control_frame_too_large"));
        }
        match frame.opcode {
            OpCode::Ping => Ok(Some(Incoming::Ping(Bytes::copy_from_slice(&frame.payload)))),
            OpCode::Pong => Ok(Some(Incoming::Pong)),
            OpCode::Close if len == 1 => Err(Close::Protocol("bad_close_frame")),
            OpCode::Close => Ok(Some(Incoming::Close)),
            OpCode::Binary => Err(Close::NoBinary),
            OpCode::Text if self.fragments > 0 => Err(Close::Protocol("message_in_message")),
            OpCode::Continuation if self.fragments == 0 => {
                Err(Close::Protocol("continuation_of_nothing"))
            }
            OpCode::Text | OpCode::Continuation => self.fragment(&frame.payload, frame.fin),
        }
    }

    fn fragment(&mut self, payload: &[u8], is_last: bool) -> Result<Option<Incoming>, Close> {
        self.fragments += 1;
        if self.fragments > MAX_CLIENT_FRAGMENTS {
            return Err(Close::TooBig("too_many_fragments"));
        }
        if self.text.len() + payload.len() > MAX_CLIENT_MESSAGE_BYTES {
            return Err(Close::TooBig("message_too_large"));
        }
        self.text.extend_from_slice(payload);
        if !is_last {
            return Ok(None);
        }
        self.fragments = 0;
        let text = std::mem::take(&mut self.text);
        let text = String::from_utf8(text.into()).map_err(|_| Close::NoUtf8)?;
        Ok(Some(Incoming::Text(text)))
    }
}

/// Whether a frame came with a mask, which the library takes off without asking.
fn is_masked(frame: &mut Frame<'_>) -> bool {
    let mut head = [0; 16];
    frame.fmt_head(&mut head);
    head[1] & 0x80 != 0
}

/// How many frames a client may still send.
#[derive(Debug)]
struct Allowance {
    frames: f64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Allowance {
        Allowance {
            frames: MAX_CLIENT_FRAME_BURST.into(),
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let grown = self.frames + passed * f64::from(MAX_CLIENT_FRAMES_PER_S);
        self.frames = grown.min(MAX_CLIENT_FRAME_BURST.into()) - 1.0;
        self.frames >= 0.0
    }
}

/// The end that a client reads from.
pub(crate) struct SocketWriter {
    socket: WebSocketWrite<SharedIo<WriteHalf<Io>>>,
    /// What it writes to.
    raw: SharedIo<WriteHalf<Io>>,
}

/// The client takes nothing more.
#[derive(Debug)]
pub(crate) struct WriteFailed;

impl SocketWriter {
    /// Writes a text message to its last byte.
    ///
    /// # Errors
    /// [`WriteFailed`].
    pub(crate) async fn text(&mut self, text: &[u8]) -> Result<(), WriteFailed> {
        self.write(OpCode::Text, text).await
    }

    /// Writes a binary message to its last byte.
    ///
    /// # Errors
    /// [`WriteFailed`].
    pub(crate) async fn binary(&mut self, bytes: &[u8]) -> Result<(), WriteFailed> {
        self.write(OpCode::Binary, bytes).await
    }

    /// Asks whether the client is there.
    ///
    /// # Errors
    /// [`WriteFailed`].
    pub(crate) async fn ping(&mut self) -> Result<(), WriteFailed> {
        self.write(OpCode::Ping, &[]).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// [`WriteFailed`].
    pub(crate) async fn pong(&mut self, payload: &[u8]) -> Result<(), WriteFailed> {
        self.write(OpCode::Pong, payload).await
    }

    /// Says that this is the end, and why, and ends this direction of the connection: who has read that need not wait
    /// for the other one's end.
    ///
    /// # Errors
    /// [`WriteFailed`].
    pub(crate) async fn close(&mut self, close: Close) -> Result<(), WriteFailed> {
        let mut payload = close.code().to_be_bytes().to_vec();
        payload.extend_from_slice(close.reason().as_bytes());
        self.write(OpCode::Close, &payload).await?;
        self.raw.shutdown().await.map_err(|_| WriteFailed)
    }

    async fn write(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), WriteFailed> {
        let frame = Frame::new(true, opcode, None, Payload::Borrowed(payload));
        let written = self.socket.write_frame(frame).await;
        written.map_err(|_| WriteFailed)?;
        self.socket.flush().await.map_err(|_| WriteFailed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Frame<'_> {
        Frame::new(fin, opcode, Some([0; 4]), Payload::Borrowed(payload))
    }

    fn text(text: &str) -> Result<Option<Incoming>, Close> {
        Ok(Some(Incoming::Text(text.to_owned())))
    }

    #[test]
    fn fragments_make_a_message_and_control_frames_may_come_between() {
        let mut assembly = Assembly::default();
        assert_eq!(
            assembly.push(frame(true, OpCode::Text, b"whole")),
            text("whole")
        );
        // The bytes of one letter in two fragments.
        let (a, b) = "gr\u{fc}n".as_bytes().split_at(3);
        assert_eq!(assembly.push(frame(false, OpCode::Text, a)), Ok(None));
        let ping = assembly.push(frame(true, OpCode::Ping, b"?"));
        assert_eq!(ping, Ok(Some(Incoming::Ping(Bytes::from_static(b"?")))));
        assert_eq!(
            assembly.push(frame(true, OpCode::Continuation, b)),
            text("gr\u{fc}n")
        );
        assert_eq!(
            assembly.push(frame(true, OpCode::Text, b"next")),
            text("next")
        );
    }

    #[test]
    fn endless_fragments_end_at_a_bound_of_their_number_and_one_of_their_sum() {
        let refused_after = |payload: &[u8]| {
            let mut assembly = Assembly::default();
            let mut pushed = assembly.push(frame(false, OpCode::Text, payload));
            let mut fragments = 1;
            while pushed == Ok(None) {
                pushed = assembly.push(frame(false, OpCode::Continuation, payload));
                fragments += 1;
            }
            (fragments, pushed)
        };
        let many = Close::TooBig("too_many_fragments");
        assert_eq!(refused_after(b""), (MAX_CLIENT_FRAGMENTS + 1, Err(many)));
        let long = Close::TooBig("message_too_large");
        assert_eq!(refused_after(&[b'x'; 8 << 10]), (3, Err(long)));
    }

    #[test]
    fn frames_against_the_protocol_are_refused() {
        let push = |f: Frame<'_>| Assembly::default().push(f);
        let unmasked = Frame::new(true, OpCode::Text, None, Payload::Borrowed(b"x"));
        for (given, close) in [
            (unmasked, Close::Protocol("unmasked_frame")),
            (frame(true, OpCode::Binary, b"x"), Close::NoBinary),
            (frame(true, OpCode::Text, &[0xff]), Close::NoUtf8),
            (
                frame(true, OpCode::Continuation, b"x"),
                Close::Protocol("continuation_of_nothing"),
            ),
            (
                frame(true, OpCode::Pong, &[0; 126]),
                Close::Protocol("control_frame_too_large"),
            ),
            (
                frame(true, OpCode::Close, b"x"),
                Close::Protocol("bad_close_frame"),
            ),
        ] {
            assert_eq!(push(given), Err(close));
        }
        let mut begun = Assembly::default();
        assert_eq!(begun.push(frame(false, OpCode::Text, b"x")), Ok(None));
        let inside = Close::Protocol("message_in_message");
        assert_eq!(begun.push(frame(true, OpCode::Text, b"x")), Err(inside));
    }

    #[test]
    fn frames_are_allowed_at_a_rate_and_a_burst() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let taken = (0..1_000).filter(|_| allowance.take(now)).count();
        assert_eq!(taken, MAX_CLIENT_FRAME_BURST as usize);
        let mut steady = Allowance::new(now);
        let even = |n: u32| now + Duration::from_secs(1) * n / MAX_CLIENT_FRAMES_PER_S;
        assert!((0..10_000).all(|n| steady.take(even(n))));
    }
}
