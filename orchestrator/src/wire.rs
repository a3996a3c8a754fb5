//! Between the core and frames: the only place that knows how one of several parts is built or read.

use std::time::Duration;

use kernel::config::{KERNEL_VERSION, SimulationConfig};
use rkyv::Deserialize;
use rkyv::rancor::{self, Strategy};
use transport::frame::{self, Frame, FrameError};
use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH};
use transport::limits::MAX_NAME_BYTES;
use transport::message::{
    ComputeTick, Dispatch, Open, PartitionWork, Refused, Register, TickDigest, Welcome,
};
use transport::pool::FramePool;
use transport::result::ResultReader;

use crate::aggregate::PartitionReport;
use crate::control::{SimulationId, WorkerId};
use crate::limits::MAX_WORKER_THREADS;

/// A frame of a few short fields cannot be too long.
const SHORT: &str = "a few short fields fit a frame";

/// What a frame sent to a worker is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) lease_epoch: u32,
    pub(crate) simulation: SimulationId,
    pub(crate) tick: u64,
    pub(crate) ticks: u32,
}

/// What a frame says it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct From {
    pub(crate) lease_epoch: u32,
    pub(crate) simulation: SimulationId,
    pub(crate) tick: u64,
    pub(crate) partition: u32,
    pub(crate) placement_epoch: u32,
    pub(crate) ticks: u32,
}

/// A result, read and copied out of its frame.
#[derive(Debug)]
pub(crate) struct ResultFrame {
    pub(crate) report: PartitionReport,
    pub(crate) stepped: u64,
    pub(crate) queue: Duration,
    pub(crate) compute: Duration,
}

/// What a frame says it is about.
pub(crate) fn from(frame: &Frame) -> From {
    let header = &frame.header;
    From {
        lease_epoch: header.lease_epoch,
        simulation: header.simulation,
        tick: header.tick,
        partition: header.partition,
        placement_epoch: header.placement_epoch,
        ticks: header.ticks,
    }
}

/// Why a worker's registration is refused, naming both sides; `None` if it is not.
pub(crate) fn registration_fault(register: &Register) -> Option<String> {
    let threads = register.threads;
    let of_threads = || {
        let fits = (1..=MAX_WORKER_THREADS).contains(&threads);
        (!fits).then(|| format!("threads: {threads} is not from 1 to {MAX_WORKER_THREADS}"))
    };
    (release_fault(register, "worker"))
        .or_else(of_threads)
        .or_else(|| name_fault(register))
}

/// Why a gateway's registration is refused, naming both sides; `None` if it is not.
pub(crate) fn gateway_fault(register: &Register) -> Option<String> {
    release_fault(register, "gateway").or_else(|| name_fault(register))
}

fn release_fault(register: &Register, role: &str) -> Option<String> {
    let (theirs, ours) = (register.protocol_version, u32::from(PROTOCOL_VERSION));
    if theirs != ours {
        return Some(format!(
            "protocol version {theirs} of the {role} is not {ours} of the orchestrator; run the same \
             release on both"
        ));
    }
    let (theirs, ours) = (register.kernel_version, KERNEL_VERSION);
    if theirs != ours {
        return Some(format!(
            "kernel version {theirs} of the {role} is not {ours} of the orchestrator, so digests \
             would differ; run the same release on both"
        ));
    }
    let (theirs, ours) = (register.schema_hash, SCHEMA_HASH);
    (theirs != ours).then(|| {
        format!(
            "frame schema {theirs:016x} of the {role} is not {ours:016x} of the orchestrator; build \
             both from the same source"
        )
    })
}

fn name_fault(register: &Register) -> Option<String> {
    let bytes = register.name.len();
    (bytes > MAX_NAME_BYTES).then(|| format!("name: {bytes} bytes are more than {MAX_NAME_BYTES}"))
}

pub(crate) fn welcome(
    pool: &FramePool,
    lease_epoch: u32,
    worker: WorkerId,
    heartbeat: Duration,
) -> Frame {
    let welcome = Welcome {
        worker: worker.0,
        heartbeat_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
    };
    frame::encode(pool, header(Kind::Welcome, lease_epoch), &welcome).expect(SHORT)
}

pub(crate) fn refused(pool: &FramePool, lease_epoch: u32, reason: &str) -> Frame {
    let refused = Refused {
        reason: reason.to_owned(),
    };
    frame::encode(pool, header(Kind::Refused, lease_epoch), &refused).expect(SHORT)
}

pub(crate) fn open(
    pool: &FramePool,
    address: &Address,
    config: &SimulationConfig,
    digest_every: u32,
) -> Frame {
    let open = Open {
        config: config.clone(),
        digest_every,
    };
    frame::encode(pool, addressed(Kind::Open, address), &open).expect(SHORT)
}

pub(crate) fn close(lease_epoch: u32, simulation: SimulationId) -> Frame {
    Frame::bare(Header {
        simulation,
        ..header(Kind::Close, lease_epoch)
    })
}

/// Tells a worker to drop a partition that it holds under `placement_epoch` or an older one.
pub(crate) fn release(
    lease_epoch: u32,
    simulation: SimulationId,
    partition: u32,
    placement_epoch: u32,
) -> Frame {
    Frame::bare(Header {
        simulation,
        partition,
        placement_epoch,
        ..header(Kind::Release, lease_epoch)
    })
}

pub(crate) fn dispatch(
    pool: &FramePool,
    address: &Address,
    dispatch: &Dispatch,
) -> Result<Frame, FrameError> {
    frame::encode(pool, addressed(Kind::Dispatch, address), dispatch)
}

/// The same checkpoint bytes, for another placement.
pub(crate) fn readdress(
    checkpoint: &Frame,
    lease_epoch: u32,
    partition: u32,
    placement_epoch: u32,
) -> Frame {
    checkpoint.with_header(Header {
        lease_epoch,
        partition,
        placement_epoch,
        ..checkpoint.header
    })
}

pub(crate) fn compute_tick(
    pool: &FramePool,
    lease_epoch: u32,
    simulation: SimulationId,
    request: u64,
    config: &SimulationConfig,
    work: PartitionWork,
) -> Result<Frame, FrameError> {
    let header = Header {
        simulation,
        tick: work.first_tick,
        partition: work.partition,
        placement_epoch: work.placement_epoch,
        ticks: 1,
        ..header(Kind::ComputeTick, lease_epoch)
    };
    let compute = ComputeTick {
        request,
        config: config.clone(),
        work,
    };
    frame::encode(pool, header, &compute)
}

/// Reads a result: fixed columns, and what the window gave rise to.
pub(crate) fn result(frame: &Frame) -> Result<ResultFrame, FrameError> {
    let result = ResultReader::new(frame)?;
    let fixed = result.fixed;
    let mut report = PartitionReport {
        aggregate: own(&fixed.aggregate)?,
        digests: result.digests().iter().map(own).collect::<Result<_, _>>()?,
        events: result.events().iter().map(own).collect::<Result<_, _>>()?,
        mail: result.mail().iter().map(own).collect::<Result<_, _>>()?,
    };
    if fixed.has_digest != 0 {
        let (tick, digest) = (frame.header.tick, fixed.digest.to_native());
        report.digests.push(TickDigest { tick, digest });
    }
    let us = |us: u32| Duration::from_micros(u64::from(us));
    Ok(ResultFrame {
        report,
        stepped: u64::from(fixed.stepped.to_native()),
        queue: us(fixed.queue_us.to_native()),
        compute: us(fixed.compute_us.to_native()),
    })
}

/// A validated archive's value.
fn own<A, T>(archived: &A) -> Result<T, FrameError>
where
    A: Deserialize<T, Strategy<(), rancor::Error>>,
{
    let kind = Kind::Result;
    archived
        .deserialize(Strategy::wrap(&mut ()))
        .map_err(|source| FrameError::Archive { kind, source })
}

fn header(kind: Kind, lease_epoch: u32) -> Header {
    Header {
        lease_epoch,
        ..Header::new(kind)
    }
}

fn addressed(kind: Kind, address: &Address) -> Header {
    Header {
        simulation: address.simulation,
        tick: address.tick,
        ticks: address.ticks,
        ..header(kind, address.lease_epoch)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A checkpoint frame of some bytes.
    pub(crate) fn checkpoint_frame(tick: u64) -> Frame {
        let header = Header {
            tick,
            ..header(Kind::Checkpoint, 1)
        };
        Frame::from_bytes(header, vec![7; 100]).unwrap()
    }

    fn register() -> Register {
        Register {
            protocol_version: u32::from(PROTOCOL_VERSION),
            kernel_version: KERNEL_VERSION,
            schema_hash: SCHEMA_HASH,
            threads: 2,
            name: "w".into(),
        }
    }

    #[test]
    fn a_refusal_names_both_values_and_what_to_do() {
        assert_eq!(registration_fault(&register()), None);
        let other = Register {
            kernel_version: KERNEL_VERSION + 41,
            ..register()
        };
        let reason = registration_fault(&other).unwrap();
        for part in ["kernel version 42", "is not 1", "run the same release"] {
            assert!(reason.contains(part), "{reason}");
        }
        let other = Register {
            schema_hash: 5,
            ..register()
        };
        assert!(
            registration_fault(&other)
                .unwrap()
                .contains("0000000000000005")
        );
        let other = Register {
            protocol_version: 99,
            ..register()
        };
        assert!(
            registration_fault(&other)
                .unwrap()
                .contains("protocol version 99")
        );
    }

    #[test]
    fn a_readdressed_checkpoint_keeps_its_bytes_and_tick() {
        let frame = readdress(&checkpoint_frame(9), 1, 3, 4);
        assert_eq!((from(&frame).tick, from(&frame).partition), (9, 3));
        assert_eq!(from(&frame).placement_epoch, 4);
        assert_eq!(frame.payload(), checkpoint_frame(9).payload());
    }
}
