//! Result frames: what one partition says after a window of ticks.
//!
//! ```text
//! 0 fixed length u32 | 4 variable length u32 | 8 zero 8 | 16 ResultFixed | aligned to 16: ResultExtras
//! ```
//!
//! The fixed archive has the same place and size in every frame and is written there; the variable
//! one follows only where there is something to say.

use rkyv::rancor;
use rkyv::ser::writer::Buffer as InPlace;

use crate::frame::{self, Frame, FrameError};
use crate::header::{Header, Kind};
use crate::message::{
    ArchivedMail, ArchivedResultExtras, ArchivedResultFixed, ArchivedTickDigest, ResultExtras,
    ResultFixed,
};
use crate::pool::FramePool;
use kernel::event::ArchivedEvent;

/// Bytes of the section table.
pub const TABLE_BYTES: usize = 16;
/// Bytes of the fixed section.
pub const FIXED_BYTES: usize = size_of::<ArchivedResultFixed>();
const VARIABLE_AT: usize = (TABLE_BYTES + FIXED_BYTES).next_multiple_of(16);

const _: () = assert!(align_of::<ArchivedResultFixed>() <= TABLE_BYTES);

/// Writes a partition's result; the header's kind is set.
///
/// # Errors
/// [`FrameError::TooLong`] where events and messages pass the limit of a result.
pub fn write(
    pool: &FramePool,
    header: Header,
    fixed: &ResultFixed,
    extras: &ResultExtras,
) -> Result<Frame, FrameError> {
    let kind = Kind::Result;
    let mut buffer = pool.take_to_grow(kind, VARIABLE_AT);
    buffer.bytes.resize(VARIABLE_AT, 0);
    let place = InPlace::from(&mut buffer.bytes[TABLE_BYTES..TABLE_BYTES + FIXED_BYTES]);
    rkyv::api::high::to_bytes_in::<_, rancor::Error>(fixed, place)
        .map_err(|source| FrameError::Archive { kind, source })?;
    if !extras.is_empty() {
        frame::append(pool, kind, &mut buffer, extras)?;
    }
    pool.note_needed(kind, buffer.bytes.len());
    let variable = buffer.bytes.len() - VARIABLE_AT;
    // A length beyond 32 bits is refused as too long below, whatever the table says.
    let variable = u32::try_from(variable).unwrap_or(u32::MAX);
    buffer.bytes[..4].copy_from_slice(&(FIXED_BYTES as u32).to_le_bytes());
    buffer.bytes[4..8].copy_from_slice(&variable.to_le_bytes());
    Frame::from_buffer(Header { kind, ..header }, buffer)
}

/// A result frame, validated, read in place.
#[derive(Clone, Copy)]
pub struct ResultReader<'a> {
    /// The fixed section.
    pub fixed: &'a ArchivedResultFixed,
    extras: Option<&'a ArchivedResultExtras>,
}

impl<'a> ResultReader<'a> {
    /// Validates both sections of a result frame.
    ///
    /// # Errors
    /// [`FrameError`] names the kind, section or archive that is wrong.
    pub fn new(frame: &'a Frame) -> Result<ResultReader<'a>, FrameError> {
        frame.expect_kind(Kind::Result)?;
        let payload: &[u8] = frame.payload();
        let (fixed_len, variable_len) = table(payload)?;
        if fixed_len as usize != FIXED_BYTES || payload.len() < VARIABLE_AT {
            return Err(section("fixed", fixed_len.into(), payload.len()));
        }
        if payload.len() - VARIABLE_AT != variable_len as usize {
            return Err(section("variable", variable_len.into(), payload.len()));
        }
        let fixed = frame::access_bytes(
            Kind::Result,
            &payload[TABLE_BYTES..TABLE_BYTES + FIXED_BYTES],
        )?;
        let extras = match variable_len {
            0 => None,
            _ => Some(frame::access_bytes(Kind::Result, &payload[VARIABLE_AT..])?),
        };
        Ok(ResultReader { fixed, extras })
    }

    /// Digests that fell due before the window's last tick.
    #[must_use]
    pub fn digests(&self) -> &'a [ArchivedTickDigest] {
        self.extras.map_or(&[], |e| e.digests.as_slice())
    }

    /// Events of the window.
    #[must_use]
    pub fn events(&self) -> &'a [ArchivedEvent] {
        self.extras.map_or(&[], |e| e.events.as_slice())
    }

    /// Messages emitted in the window's last tick.
    #[must_use]
    pub fn mail(&self) -> &'a [ArchivedMail] {
        self.extras.map_or(&[], |e| e.mail.as_slice())
    }
}

impl ResultExtras {
    /// Nothing to say: the section is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.events.is_empty() && self.mail.is_empty()
    }
}

fn table(payload: &[u8]) -> Result<(u32, u32), FrameError> {
    let table: &[u8; TABLE_BYTES] = payload
        .first_chunk()
        .ok_or_else(|| section("table", TABLE_BYTES as u64, payload.len()))?;
    let [f0, f1, f2, f3, v0, v1, v2, v3, zero @ ..] = *table;
    if zero != [0; 8] {
        return Err(section("reserved", u64::from_le_bytes(zero), payload.len()));
    }
    Ok((
        u32::from_le_bytes([f0, f1, f2, f3]),
        u32::from_le_bytes([v0, v1, v2, v3]),
    ))
}

fn section(section: &'static str, len: u64, payload: usize) -> FrameError {
    FrameError::Section {
        kind: Kind::Result,
        section,
        len,
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Mail;

    #[test]
    fn both_sections_come_back_in_place() {
        let pool = FramePool::new();
        let fixed = ResultFixed {
            digest: 77,
            stepped: 3,
            ..ResultFixed::default()
        };
        let mail = vec![Mail {
            tick: 4,
            from: 1,
            to: 2,
            words: vec![5, 6, 7],
        }];
        let extras = ResultExtras {
            mail,
            ..ResultExtras::default()
        };
        for (extras, mails) in [(ResultExtras::default(), 0), (extras, 1)] {
            let frame = write(&pool, Header::new(Kind::Result), &fixed, &extras).unwrap();
            let reader = ResultReader::new(&frame).unwrap();
            assert_eq!(
                (
                    reader.fixed.digest.to_native(),
                    reader.fixed.stepped.to_native()
                ),
                (77, 3)
            );
            assert_eq!(reader.mail().len(), mails);
            assert!(
                reader
                    .mail()
                    .iter()
                    .all(|m| m.words.as_slice() == [5, 6, 7])
            );
            assert!(reader.events().is_empty() && reader.digests().is_empty());
        }
    }

    #[test]
    fn a_lying_section_table_is_refused_by_name() {
        let pool = FramePool::new();
        let good = write(
            &pool,
            Header::new(Kind::Result),
            &ResultFixed::default(),
            &ResultExtras::default(),
        )
        .unwrap();
        for (at, name) in [(0, "fixed"), (4, "variable"), (8, "reserved")] {
            let mut buffer = pool.take(good.payload().len());
            buffer.bytes.extend_from_slice(good.payload());
            buffer.bytes[at] ^= 0x10;
            let bad = Frame::from_buffer(good.header, buffer).unwrap();
            let error = ResultReader::new(&bad).err().expect("refused");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
