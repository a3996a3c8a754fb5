//! Every reader of a payload there is, for the property tests and the fuzz target alike.

use transport::control::{Published, Request, Response, Tokens};
use transport::frame::{Frame, FrameError};
use transport::header::{Header, Kind};
use transport::limits::max_payload_bytes;
use transport::message::{
    ComputeTick, Computed, Dispatch, Heartbeat, Open, Refused, Register, Unable, Welcome,
};
use transport::pool::FramePool;
use transport::result::ResultReader;
use transport::view::View;

/// Reads a payload as `kind`, to its last element. `Ok` holds the bytes of what was read when it is
/// encoded again, or, where it is read in place only, 0.
pub(crate) fn read(pool: &FramePool, kind: Kind, payload: &[u8]) -> Result<usize, FrameError> {
    let mut buffer = pool.take(payload.len());
    buffer.bytes.extend_from_slice(payload);
    let frame = Frame::from_buffer(Header::new(kind), buffer)?;
    macro_rules! decode {
        ($($message:ident),*) => {
            match kind {
                $(Kind::$message => {
                    let value = frame.decode::<$message>()?;
                    let again = transport::frame::encode(pool, frame.header, &value)?;
                    Ok(again.payload().len())
                })*
                Kind::Result => read_result(&frame),
                // These hold nothing that this crate reads.
                Kind::Close | Kind::Release | Kind::Taken | Kind::Checkpoint => Ok(0),
            }
        };
    }
    decode!(
        Register,
        Welcome,
        Refused,
        Heartbeat,
        Open,
        Dispatch,
        Unable,
        ComputeTick,
        Computed,
        View,
        Request,
        Response,
        Published,
        Tokens
    )
}

/// Reads a payload as every kind that may be as long.
pub(crate) fn read_as_every_kind(pool: &FramePool, payload: &[u8]) {
    for kind in Kind::ALL {
        let fits = payload.len() <= max_payload_bytes(kind) as usize;
        match read(pool, kind, payload) {
            Err(FrameError::TooLong { .. }) => assert!(!fits, "{kind:?}"),
            Err(error) => assert!(!error.to_string().is_empty(), "{kind:?}"),
            Ok(again) => assert!(
                fits && again <= payload.len() + ROUNDING_BYTES,
                "{kind:?}: {again} bytes were read out of {}",
                payload.len()
            ),
        }
    }
}

/// What alignment may add where an archive is laid out again.
const ROUNDING_BYTES: usize = 64;

fn read_result(frame: &Frame) -> Result<usize, FrameError> {
    let reader = ResultReader::new(frame)?;
    let ticks = reader.digests().iter().map(|d| d.tick.to_native());
    let words = reader.mail().iter().flat_map(|m| m.words.iter());
    let events = reader.events().iter().map(|e| e.tick.to_native());
    let read = ticks
        .chain(events)
        .chain(words.map(|w| u64::from(w.to_native())));
    std::hint::black_box(read.fold(0, u64::wrapping_add));
    Ok(0)
}
