//! The 64 bytes before every payload, little-endian, at fixed offsets:
//!
//! ```text
//! 0 magic 4 | 4 version 2 | 6 kind 1 | 7 flags 1 | 8 simulation 16 | 24 tick 8 | 32 schema 8
//! 40 partition 4 | 44 lease epoch 4 | 48 placement epoch 4 | 52 ticks 4 | 56 payload length 4 | 60 CRC32C 4
//! ```
//!
//! It is checked before anything else of a frame, and before anything is allocated for one.

use crate::limits::{HEADER_BYTES, max_payload_bytes};

/// Version of the header and of the protocol's rules.
pub const PROTOCOL_VERSION: u16 = 1;
/// First bytes of every frame.
pub const MAGIC: [u8; 4] = *b"AFRM";
/// Names the archives of this build, those inside checkpoints and views included. Two builds whose
/// archives differ in source differ here.
pub const SCHEMA_HASH: u64 = schema_hash(&SCHEMA_SOURCES);
/// Every file that says what an archive holds, or where in a payload it stands.
const SCHEMA_SOURCES: [&str; 13] = [
    include_str!("control.rs"),
    include_str!("message.rs"),
    include_str!("result.rs"),
    include_str!("view.rs"),
    include_str!("../../kernel/src/aggregate.rs"),
    include_str!("../../kernel/src/command.rs"),
    include_str!("../../kernel/src/config.rs"),
    include_str!("../../kernel/src/event.rs"),
    include_str!("../../kernel/src/message.rs"),
    include_str!("../../kernel/src/partition.rs"),
    include_str!("../../kernel/src/rows.rs"),
    include_str!("../../kernel/src/site.rs"),
    include_str!("../../kernel/src/view.rs"),
];

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 4;
const KIND_AT: usize = 6;
const FLAGS_AT: usize = 7;
const SIMULATION_AT: usize = 8;
const TICK_AT: usize = 24;
const SCHEMA_AT: usize = 32;
const PARTITION_AT: usize = 40;
const LEASE_EPOCH_AT: usize = 44;
const PLACEMENT_EPOCH_AT: usize = 48;
const TICKS_AT: usize = 52;
const PAYLOAD_LEN_AT: usize = 56;
const CRC_AT: usize = 60;

const _: () = assert!(CRC_AT + 4 == HEADER_BYTES);
const _: () = assert!(TICK_AT.is_multiple_of(8) && SCHEMA_AT.is_multiple_of(8));

/// What a frame is. The numbers are the wire's and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// [`crate::message::Register`].
    Register = 1,
    /// [`crate::message::Welcome`].
    Welcome = 2,
    /// [`crate::message::Refused`].
    Refused = 3,
    /// [`crate::message::Heartbeat`].
    Heartbeat = 4,
    /// [`crate::message::Open`].
    Open = 5,
    /// No payload: the worker drops the simulation.
    Close = 6,
    /// [`crate::message::Dispatch`].
    Dispatch = 7,
    /// [`crate::result`]: the answer of one partition.
    Result = 8,
    /// [`crate::view`]: the rows of one partition as a dashboard shows them.
    View = 9,
    /// The kernel's exact columns of one partition, opaque here.
    Checkpoint = 10,
    /// [`crate::message::ComputeTick`].
    ComputeTick = 11,
    /// [`crate::message::Computed`].
    Computed = 12,
    /// [`crate::message::Unable`].
    Unable = 13,
    /// No payload: the worker drops the partition.
    Release = 14,
    /// [`crate::control::Request`].
    Request = 15,
    /// [`crate::control::Response`].
    Response = 16,
    /// [`crate::control::Published`].
    Published = 17,
    /// [`crate::control::Tokens`].
    Tokens = 18,
    /// No payload: a gateway has the views of the header's simulation and tick, or has begun to.
    Taken = 19,
}

impl Kind {
    /// Every kind, by code.
    pub const ALL: [Kind; 19] = [
        Kind::Register,
        Kind::Welcome,
        Kind::Refused,
        Kind::Heartbeat,
        Kind::Open,
        Kind::Close,
        Kind::Dispatch,
        Kind::Result,
        Kind::View,
        Kind::Checkpoint,
        Kind::ComputeTick,
        Kind::Computed,
        Kind::Unable,
        Kind::Release,
        Kind::Request,
        Kind::Response,
        Kind::Published,
        Kind::Tokens,
        Kind::Taken,
    ];

    /// The kind of a header's byte.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Kind> {
        let index = usize::from(code).checked_sub(1)?;
        Kind::ALL.get(index).copied()
    }

    /// Registration and its refusal must be readable by a build of another schema, so that the
    /// difference can be named: their archives never change.
    #[must_use]
    pub const fn is_read_across_schemas(self) -> bool {
        matches!(self, Kind::Register | Kind::Refused)
    }
}

/// Which simulation a frame belongs to: a UUID as a number.
#[derive(
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
)]
pub struct SimulationId(pub u128);

impl std::fmt::Display for SimulationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = format!("{:032x}", self.0);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        f.write_str(&parts.join("-"))
    }
}

/// What a frame is and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload holds.
    pub kind: Kind,
    /// The simulation it is about; 0 where it is about none.
    pub simulation: SimulationId,
    /// Last tick of the window; of a checkpoint, the tick of its state.
    pub tick: u64,
    /// The partition it is about; 0 where it is about none or several.
    pub partition: u32,
    /// Epoch of the orchestrator's lease.
    pub lease_epoch: u32,
    /// Placement of the partition that the sender acts under.
    pub placement_epoch: u32,
    /// Ticks in the window.
    pub ticks: u32,
}

/// What closes a header: the payload it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadSeal {
    /// Bytes of the payload.
    pub len: u32,
    /// CRC32C over the header, its own field as 0, and the payload.
    pub crc: u32,
}

/// Why a header is refused, by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than 64 bytes.
    #[error("header: {len} bytes of {HEADER_BYTES}")]
    Short {
        /// Bytes there were.
        len: usize,
    },
    /// Not a frame of ours.
    #[error("magic: {found:02x?}, this is no AutoFarm frame")]
    Magic {
        /// What stood there.
        found: [u8; 4],
    },
    /// A peer of another version.
    #[error(
        "version: the peer speaks protocol {found}, this side {PROTOCOL_VERSION}; run the same release on both"
    )]
    Version {
        /// The peer's.
        found: u16,
    },
    /// A code that no kind has.
    #[error("kind: code {found} is unknown")]
    Kind {
        /// The code.
        found: u8,
    },
    /// Bits that this version gives no meaning.
    #[error("flags: {found:#04x} has no meaning in protocol {PROTOCOL_VERSION}")]
    Flags {
        /// The bits.
        found: u8,
    },
    /// A peer whose archives are others.
    #[error(
        "schema: the peer's hash is {found:016x}, this side's {SCHEMA_HASH:016x}; run the same release on both"
    )]
    Schema {
        /// The peer's.
        found: u64,
    },
    /// More than the kind may hold.
    #[error("payload length: {len} bytes announced, a {kind:?} frame holds at most {max}")]
    PayloadTooLong {
        /// The frame's kind.
        kind: Kind,
        /// Bytes announced.
        len: u32,
        /// Most allowed.
        max: u32,
    },
}

impl Header {
    /// A header about nothing but its kind.
    #[must_use]
    pub fn new(kind: Kind) -> Header {
        Header {
            kind,
            simulation: SimulationId::default(),
            tick: 0,
            partition: 0,
            lease_epoch: 0,
            placement_epoch: 0,
            ticks: 0,
        }
    }

    /// The header's 64 bytes.
    #[must_use]
    pub fn encode(&self, seal: PayloadSeal) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, MAGIC_AT, MAGIC);
        put(&mut bytes, VERSION_AT, PROTOCOL_VERSION.to_le_bytes());
        put(&mut bytes, KIND_AT, [self.kind as u8]);
        put(&mut bytes, SIMULATION_AT, self.simulation.0.to_le_bytes());
        put(&mut bytes, TICK_AT, self.tick.to_le_bytes());
        put(&mut bytes, SCHEMA_AT, SCHEMA_HASH.to_le_bytes());
        put(&mut bytes, PARTITION_AT, self.partition.to_le_bytes());
        put(&mut bytes, LEASE_EPOCH_AT, self.lease_epoch.to_le_bytes());
        put(
            &mut bytes,
            PLACEMENT_EPOCH_AT,
            self.placement_epoch.to_le_bytes(),
        );
        put(&mut bytes, TICKS_AT, self.ticks.to_le_bytes());
        put(&mut bytes, PAYLOAD_LEN_AT, seal.len.to_le_bytes());
        put(&mut bytes, CRC_AT, seal.crc.to_le_bytes());
        bytes
    }

    /// Reads and checks a header. The payload's checksum is the frame's to check.
    ///
    /// # Errors
    /// [`HeaderError`] names the first field that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<(Header, PayloadSeal), HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes
            .first_chunk()
            .ok_or(HeaderError::Short { len: bytes.len() })?;
        let kind = check_identity(bytes)?;
        let seal = PayloadSeal {
            len: u32::from_le_bytes(get(bytes, PAYLOAD_LEN_AT)),
            crc: u32::from_le_bytes(get(bytes, CRC_AT)),
        };
        let max = max_payload_bytes(kind);
        if seal.len > max {
            let len = seal.len;
            return Err(HeaderError::PayloadTooLong { kind, len, max });
        }
        let header = Header {
            kind,
            simulation: SimulationId(u128::from_le_bytes(get(bytes, SIMULATION_AT))),
            tick: u64::from_le_bytes(get(bytes, TICK_AT)),
            partition: u32::from_le_bytes(get(bytes, PARTITION_AT)),
            lease_epoch: u32::from_le_bytes(get(bytes, LEASE_EPOCH_AT)),
            placement_epoch: u32::from_le_bytes(get(bytes, PLACEMENT_EPOCH_AT)),
            ticks: u32::from_le_bytes(get(bytes, TICKS_AT)),
        };
        Ok((header, seal))
    }
}

/// The header's bytes with its checksum field as 0, as the checksum is taken over them.
pub(crate) fn without_crc(bytes: &[u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    let mut blank = *bytes;
    put(&mut blank, CRC_AT, [0; 4]);
    blank
}

/// Sets the checksum field.
pub(crate) fn put_crc(bytes: &mut [u8; HEADER_BYTES], crc: u32) {
    put(bytes, CRC_AT, crc.to_le_bytes());
}

fn check_identity(bytes: &[u8; HEADER_BYTES]) -> Result<Kind, HeaderError> {
    let magic = get(bytes, MAGIC_AT);
    if magic != MAGIC {
        return Err(HeaderError::Magic { found: magic });
    }
    let version = u16::from_le_bytes(get(bytes, VERSION_AT));
    if version != PROTOCOL_VERSION {
        return Err(HeaderError::Version { found: version });
    }
    let code = bytes[KIND_AT];
    let kind = Kind::from_code(code).ok_or(HeaderError::Kind { found: code })?;
    let flags = bytes[FLAGS_AT];
    if flags != 0 {
        return Err(HeaderError::Flags { found: flags });
    }
    let schema = u64::from_le_bytes(get(bytes, SCHEMA_AT));
    if schema != SCHEMA_HASH && !kind.is_read_across_schemas() {
        return Err(HeaderError::Schema { found: schema });
    }
    Ok(kind)
}

fn get<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn put<const N: usize>(bytes: &mut [u8; HEADER_BYTES], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

/// FNV-1a over the sources, without white space and `//` lines, so that layout and docs do not count.
const fn schema_hash(sources: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut s = 0;
    while s < sources.len() {
        let text = sources[s].as_bytes();
        let mut i = 0;
        while i < text.len() {
            if text[i] == b'/' && i + 1 < text.len() && text[i + 1] == b'/' {
                while i < text.len() && text[i] != b'\n' {
                    i += 1;
                }
            } else {
                if !text[i].is_ascii_whitespace() {
                    hash = (hash ^ text[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
                }
                i += 1;
            }
        }
        s += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Header {
        Header {
            kind: Kind::Result,
            simulation: SimulationId(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
            tick: 0x1122_3344_5566_7788,
            partition: 3,
            lease_epoch: 4,
            placement_epoch: 5,
            ticks: 6,
        }
    }

    #[test]
    fn header_bytes_are_golden() {
        let bytes = example().encode(PayloadSeal {
            len: 0x1234,
            crc: 0xdead_beef,
        });
        let mut golden = [0u8; HEADER_BYTES];
        golden[..8].copy_from_slice(&[b'A', b'F', b'R', b'M', 1, 0, 8, 0]);
        for (byte, n) in golden[8..24].iter_mut().zip(0..) {
            *byte = n;
        }
        golden[24..32].copy_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        golden[32..40].copy_from_slice(&SCHEMA_HASH.to_le_bytes());
        golden[40..56].copy_from_slice(&[3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0]);
        golden[56..].copy_from_slice(&[0x34, 0x12, 0, 0, 0xef, 0xbe, 0xad, 0xde]);
        assert_eq!(bytes, golden);
    }

    #[test]
    fn every_kind_comes_back() {
        for kind in Kind::ALL {
            let seal = PayloadSeal { len: 12, crc: 9 };
            let header = Header { kind, ..example() };
            assert_eq!(Header::decode(&header.encode(seal)), Ok((header, seal)));
        }
    }

    #[test]
    fn each_field_is_refused_by_name() {
        let good = example().encode(PayloadSeal { len: 0, crc: 0 });
        let refused = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Header::decode(&bytes).unwrap_err().to_string()
        };
        assert!(refused(0, b'X').starts_with("magic"));
        assert!(refused(4, 9).starts_with("version: the peer speaks protocol 9"));
        assert!(refused(6, 0).starts_with("kind: code 0"));
        assert!(refused(6, 99).starts_with("kind: code 99"));
        assert!(refused(7, 1).starts_with("flags"));
        assert!(refused(32, good[32] ^ 1).starts_with("schema"));
        assert!(refused(59, 0xff).starts_with("payload length"));
        assert_eq!(
            Header::decode(&good[..63]),
            Err(HeaderError::Short { len: 63 })
        );
    }

    /// Checkpoints, views and results were once not covered: builds that cannot read each other's
    /// said that they can.
    #[test]
    fn every_file_that_says_what_an_archive_holds_is_in_the_schema_hash() {
        let mut folders = vec!["src".into(), "../kernel/src".into()];
        let mut covered = 0;
        while let Some(folder) = folders.pop() {
            let folder: std::path::PathBuf = folder;
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let derives = |line: &str| {
                    let line = line.trim_start();
                    line.starts_with("#[derive(") && line.contains("Archive")
                };
                if text.lines().any(derives) {
                    assert!(SCHEMA_SOURCES.contains(&text.as_str()), "{path:?}");
                    covered += 1;
                }
            }
        }
        // A result's file has no archive of its own, but the table before two of them.
        assert_eq!(covered + 1, SCHEMA_SOURCES.len());
    }

    #[test]
    fn schema_hash_ignores_docs_and_layout() {
        assert_eq!(
            schema_hash(&["a: u32,\n"]),
            schema_hash(&["/// doc\n  a: u32,"])
        );
        assert_ne!(schema_hash(&["a: u32,"]), schema_hash(&["a: u64,"]));
    }

    #[test]
    fn simulation_id_reads_as_a_uuid() {
        let id = SimulationId(0x0190_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(id.to_string(), "01900000-0000-7000-8000-000000000001");
    }
}
