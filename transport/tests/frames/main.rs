//! Frames from strangers: whatever the bytes, no panic, an error that names what is wrong, and no
//! more memory than the kind may hold.

mod control;
mod readers;

use std::sync::atomic::Ordering::Relaxed;

use kernel::command::Command;
use kernel::config::SimulationConfig;
use kernel::event::Event;
use kernel::view::ViewBlock;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rkyv::util::AlignedVec;
use transport::frame::{Frame, FrameError, encode};
use transport::header::{Header, HeaderError, Kind, PayloadSeal};
use transport::limits::{HEADER_BYTES, max_payload_bytes};
use transport::message::{
    ComputeTick, Computed, Dispatch, Heartbeat, Mail, Open, PartitionWork, Refused, Register,
    ResultExtras, ResultFixed, StampedCommand, TickDigest, Unable, Welcome,
};
use transport::pool::FramePool;
use transport::view::View;

const LEN_AT: usize = 56;
const CRC_AT: usize = 60;

/// The frame as one piece, as a stream carries it.
fn wire(frame: &Frame) -> Vec<u8> {
    [&frame.wire_header()[..], frame.payload()].concat()
}

/// Sets the checksum that fits the bytes, as a peer that means harm would.
fn seal(bytes: &mut [u8]) {
    bytes[CRC_AT..HEADER_BYTES].fill(0);
    let crc = crc32c::crc32c(bytes);
    bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn allocated(pool: &FramePool) -> u64 {
    pool.copies().allocated.load(Relaxed)
}

/// A frame of each kind, its payload filled with what the kind holds.
fn example(kind: Kind) -> Frame {
    let pool = FramePool::new();
    let header = Header {
        tick: 148,
        partition: 3,
        ..Header::new(kind)
    };
    let config = SimulationConfig {
        scenario: 1,
        entities: 200,
        tick_ms: 20,
        seed: 7,
        partition_rows: 16,
    };
    let command = Command {
        seq: 9,
        target: 4,
        scope: 0,
        kind: 1,
        arg0: -1,
        arg1: 2,
        arg2: 3,
    };
    let mail = |words: u32| Mail {
        tick: 148,
        from: 1,
        to: 2,
        words: (0..words).collect(),
    };
    let work = PartitionWork {
        partition: 3,
        ticks: 1,
        commands: vec![StampedCommand { tick: 148, command }; 3],
        mail: vec![mail(5), mail(0), mail(1)],
        ..PartitionWork::default()
    };
    let text = "worker in the third barn".to_owned();
    let made = match kind {
        Kind::Register => encode(
            &pool,
            header,
            &Register {
                protocol_version: 1,
                kernel_version: 1,
                schema_hash: 5,
                threads: 2,
                name: text,
            },
        ),
        Kind::Welcome => encode(
            &pool,
            header,
            &Welcome {
                worker: 1,
                heartbeat_ms: 100,
            },
        ),
        Kind::Refused => encode(&pool, header, &Refused { reason: text }),
        Kind::Heartbeat => encode(
            &pool,
            header,
            &Heartbeat {
                rows: 1,
                row_steps: 2,
                busy_us: 3,
                draining: 0,
            },
        ),
        Kind::Open => encode(
            &pool,
            header,
            &Open {
                config,
                digest_every: 50,
            },
        ),
        Kind::Dispatch => {
            let work = vec![work.clone(), PartitionWork::default(), work];
            encode(&pool, header, &Dispatch { work })
        }
        Kind::Result => {
            let event = Event {
                tick: 148,
                site: 0,
                entity: 4,
                ordinal: 0,
                kind: 1,
                detail: 2,
                reason: 0,
            };
            let extras = ResultExtras {
                digests: vec![TickDigest { tick: 1, digest: 2 }; 2],
                events: vec![event; 3],
                mail: vec![mail(4), mail(2)],
            };
            transport::result::write(&pool, header, &ResultFixed::default(), &extras)
        }
        Kind::View => {
            let view = View {
                blocks: vec![ViewBlock::default(); 2],
                records: vec![[7; 8]; 20],
            };
            encode(&pool, header, &view)
        }
        Kind::ComputeTick => encode(
            &pool,
            header,
            &ComputeTick {
                request: 1,
                config,
                work,
            },
        ),
        Kind::Computed => encode(
            &pool,
            header,
            &Computed {
                request: 1,
                digest: 2,
                unable: 0,
            },
        ),
        Kind::Unable => encode(
            &pool,
            header,
            &Unable {
                reason: 1,
                detail: text,
            },
        ),
        Kind::Request => encode(&pool, header, &control::request()),
        Kind::Response => encode(&pool, header, &control::response()),
        Kind::Published => encode(&pool, header, &control::published()),
        Kind::Tokens => {
            let tokens = vec![control::token(); 3];
            encode(&pool, header, &transport::control::Tokens { tokens })
        }
        Kind::Checkpoint => Frame::from_bytes(header, vec![5; 300]),
        Kind::Close | Kind::Release | Kind::Taken => Ok(Frame::bare(header)),
    };
    made.expect("an example is within its limits")
}

fn any_kind() -> impl Strategy<Value = Kind> {
    select(&Kind::ALL[..])
}

#[test]
fn every_example_comes_back_whole() {
    let pool = FramePool::new();
    for kind in Kind::ALL {
        let sent = example(kind);
        let read = Frame::parse(&pool, &wire(&sent)).unwrap();
        assert_eq!((read.header, read.payload()), (sent.header, sent.payload()));
        let again = readers::read(&pool, kind, read.payload()).unwrap();
        assert!(again <= read.payload().len(), "{kind:?}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let pool = FramePool::new();
        let error = Frame::parse(&pool, &bytes).unwrap_err();
        prop_assert!(matches!(error, FrameError::Header(_)), "{}", error);
        prop_assert_eq!(allocated(&pool), 0);
    }

    #[test]
    fn a_truncated_frame_is_named_and_allocates_nothing(kind in any_kind(), cut in any::<Index>()) {
        let whole = wire(&example(kind));
        let len = cut.index(whole.len());
        let pool = FramePool::new();
        let error = Frame::parse(&pool, &whole[..len]).unwrap_err();
        let named = match error {
            FrameError::Header(HeaderError::Short { len: found }) => found == len && len < HEADER_BYTES,
            FrameError::Truncated { kind: of, got, .. } => of == kind && got == len - HEADER_BYTES,
            _ => false,
        };
        prop_assert!(named, "{} of {}", len, whole.len());
        prop_assert_eq!(allocated(&pool), 0);
    }

    #[test]
    fn a_flipped_bit_is_found(kind in any_kind(), at in any::<Index>(), bit in 0..8u8) {
        let mut bytes = wire(&example(kind));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let error = Frame::parse(&FramePool::new(), &bytes).unwrap_err();
        let named = match error {
            FrameError::Header(_) => at < HEADER_BYTES,
            FrameError::Truncated { .. } => (LEN_AT..CRC_AT).contains(&at),
            FrameError::Checksum { .. } => true,
            _ => false,
        };
        prop_assert!(named, "bit {} of byte {}: {}", bit, at, error);
    }

    #[test]
    fn a_length_beyond_the_kind_is_refused_before_anything_is_allocated(
        kind in any_kind(),
        beyond in 1..=u32::MAX,
    ) {
        let max = max_payload_bytes(kind);
        let len = max.saturating_add(beyond);
        let mut head = Header::new(kind).encode(PayloadSeal { len, crc: 0 });
        seal(&mut head);
        let pool = FramePool::new();
        let error = Frame::parse(&pool, &head).unwrap_err();
        let expected = HeaderError::PayloadTooLong { kind, len, max };
        prop_assert!(matches!(error, FrameError::Header(found) if found == expected));
        prop_assert_eq!(allocated(&pool), 0);
    }

    #[test]
    fn a_length_that_lies_within_the_kind_allocates_nothing(kind in any_kind(), lie in any::<Index>()) {
        let len = 1 + lie.index(max_payload_bytes(kind) as usize) as u32;
        let mut head = Header::new(kind).encode(PayloadSeal { len, crc: 0 });
        seal(&mut head);
        let pool = FramePool::new();
        let error = Frame::parse(&pool, &head).unwrap_err();
        prop_assert!(matches!(error, FrameError::Truncated { got: 0, .. }), "{}", error);
        prop_assert_eq!(allocated(&pool), 0);
    }

    /// The checksum is right, so nothing but the field itself can be what is refused.
    #[test]
    fn each_foreign_field_is_named(kind in any_kind(), field in 0..5usize, change in 1..=u8::MAX) {
        let at = [0, 4, 6, 7, 32][field];
        let mut bytes = wire(&example(kind));
        bytes[at] ^= change;
        seal(&mut bytes);
        let found = Frame::parse(&FramePool::new(), &bytes);
        let named = match (field, found) {
            (0, Err(FrameError::Header(HeaderError::Magic { .. })))
            | (1, Err(FrameError::Header(HeaderError::Version { .. })))
            | (3, Err(FrameError::Header(HeaderError::Flags { .. }))) => true,
            (2, Err(FrameError::Header(HeaderError::Kind { found }))) => Kind::from_code(found).is_none(),
            // The byte of another kind: this is a frame of that kind, unless its limit is too low.
            (2, Ok(frame)) => frame.header.kind != kind,
            (4, Err(FrameError::Header(HeaderError::Schema { .. }))) => !kind.is_read_across_schemas(),
            (4, Ok(_)) => kind.is_read_across_schemas(),
            _ => false,
        };
        prop_assert!(named, "{:?}, byte {}", kind, at);
    }

    #[test]
    fn a_random_payload_is_read_or_refused_as_every_kind(
        payload in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        readers::read_as_every_kind(&FramePool::new(), &payload);
    }

    /// Near misses get further into the validation than noise does: pointers and lengths that almost fit.
    #[test]
    fn a_changed_archive_is_read_or_refused_and_gives_no_more_than_it_holds(
        kind in any_kind(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut payload = example(kind).payload().to_vec();
        prop_assume!(!payload.is_empty());
        for (at, value) in changes {
            let at = at.index(payload.len());
            payload[at] = value;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        readers::read_as_every_kind(&FramePool::new(), &payload);
    }

    #[test]
    fn a_payload_at_a_wrong_alignment_is_refused_not_misread(shift in 1..16usize) {
        let view = example(Kind::View);
        let mut bytes = AlignedVec::<64>::new();
        bytes.resize(shift, 0);
        bytes.extend_from_slice(view.payload());
        let owned = bytes::Bytes::from_owner(bytes).slice(shift..);
        let frame = Frame::from_bytes(view.header, owned).unwrap();
        let aligned = shift.is_multiple_of(4);
        prop_assert_eq!(frame.access::<View>().is_ok(), aligned);
    }
}

#[test]
fn a_payload_of_exactly_the_limit_is_sent_and_one_byte_more_is_not() {
    for kind in Kind::ALL {
        let max = max_payload_bytes(kind) as usize;
        let frame = Frame::from_bytes(Header::new(kind), vec![0; max]).unwrap();
        let parsed = Frame::parse(&FramePool::new(), &wire(&frame)).unwrap();
        assert_eq!(parsed.payload().len(), max);
        let error = Frame::from_bytes(Header::new(kind), vec![0; max + 1]).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { len, .. } if len == max + 1));
    }
}
