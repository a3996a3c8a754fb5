//! A worker that makes up what it computes: a partition's state is one number into which every tick, command
//! and mail is mixed, so that a lost or doubled input shows.

use std::collections::BTreeMap;

use kernel::aggregate::Aggregate;
use kernel::config::KERNEL_VERSION;
use kernel::plan::Plan;
use orchestrator::control::{SimulationId, Spec, WorkerId};
use orchestrator::verify::Arbitration;
use transport::frame::{self, Frame};
use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH};
use transport::message::{
    Computed, Dispatch, Mail, Open, PartitionWork, Register, ResultExtras, ResultFixed, TickDigest,
    Unable, base, unable, want,
};
use transport::pool::FramePool;

/// A worker that makes up what it computes.
#[derive(Debug, Default)]
pub(crate) struct FakeWorker {
    pub(crate) id: Option<WorkerId>,
    /// Answers nothing while set.
    pub(crate) mute: bool,
    /// Answers every dispatch twice.
    pub(crate) twice: bool,
    /// Sends no checkpoint while set.
    pub(crate) no_checkpoints: bool,
    /// Repeats no step for others while set.
    pub(crate) no_computes: bool,
    /// Sends no view while set.
    pub(crate) no_views: bool,
    /// Tells of an event of partition 0 in every tick that is a multiple of this.
    pub(crate) event_every: Option<u64>,
    /// Adds this to the time it says that its steps took.
    pub(crate) slow_us: u32,
    /// Adds this to digests it reports.
    pub(crate) digest_error: u64,
    /// Adds this to digests it computes for others.
    pub(crate) compute_error: u64,
    pub(crate) refused: Option<String>,
    pub(crate) disconnected: Option<String>,
    pub(crate) draining: bool,
    /// Dispatches that came in.
    pub(crate) dispatches: Vec<(u64, Dispatch)>,
    pub(crate) released: usize,
    pub(crate) closed: usize,
    /// Misses what it is told of runs that end.
    pub(crate) hears_no_close: bool,
    /// What it says of its rows, if it lies.
    pub(crate) sums: Option<Aggregate>,
    opened: BTreeMap<SimulationId, (Plan, u32)>,
    held: BTreeMap<(SimulationId, u32), Held>,
    checkpoints: BTreeMap<(SimulationId, u32, u32), (u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u32,
    tick: u64,
    state: u64,
}

impl FakeWorker {
    /// Drops all that it holds.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    pub(crate) fn holds_nothing(&self) -> bool {
        self.opened.is_empty() && self.held.is_empty()
    }

    pub(crate) fn handle(&mut self, pool: &FramePool, frame: &Frame) -> Vec<Frame> {
        let header = frame.header;
        let id = header.simulation;
        match header.kind {
            Kind::Welcome => {
                let welcome = frame.decode::<transport::message::Welcome>().unwrap();
                self.id = Some(WorkerId(welcome.worker));
            }
            Kind::Refused => {
                let refused = frame.decode::<transport::message::Refused>().unwrap();
                self.refused = Some(refused.reason);
            }
            Kind::Open => {
                let open = frame.decode::<Open>().unwrap();
                let plan = Plan::new(&open.config).unwrap();
                self.opened.insert(id, (plan, open.digest_every));
            }
            Kind::Close if self.hears_no_close => {}
            Kind::Close => {
                self.closed += 1;
                self.opened.remove(&id);
                self.held.retain(|(sim, _), _| *sim != id);
            }
            Kind::Release => {
                self.released += 1;
                let key = (id, header.partition);
                if self
                    .held
                    .get(&key)
                    .is_some_and(|h| h.epoch <= header.placement_epoch)
                {
                    self.held.remove(&key);
                }
            }
            Kind::Checkpoint => {
                let state = u64::from_le_bytes(frame.payload()[..8].try_into().unwrap());
                let key = (id, header.partition, header.placement_epoch);
                self.checkpoints.insert(key, (header.tick, state));
            }
            Kind::Dispatch => {
                let dispatch = frame.decode::<Dispatch>().unwrap();
                let work = dispatch.work.clone();
                self.dispatches.push((header.tick, dispatch));
                return work
                    .iter()
                    .flat_map(|w| self.work(pool, &header, w))
                    .collect();
            }
            Kind::ComputeTick if self.no_computes => {}
            Kind::ComputeTick => return vec![self.compute(pool, frame)],
            kind => panic!("{kind:?} to a worker"),
        }
        Vec::new()
    }

    fn compute(&mut self, pool: &FramePool, frame: &Frame) -> Frame {
        let header = frame.header;
        let compute = frame.decode::<transport::message::ComputeTick>().unwrap();
        let work = compute.work;
        let key = (header.simulation, work.partition, work.placement_epoch);
        let (tick, state) = self
            .checkpoints
            .remove(&key)
            .expect("a checkpoint comes first");
        assert_eq!((tick + 1, work.ticks), (work.first_tick, 1));
        let digest = step(work.partition, state, work.first_tick, &work);
        let computed = Computed {
            request: compute.request,
            digest: digest.wrapping_add(self.compute_error),
            unable: 0,
        };
        frame::encode(pool, self::header(Kind::Computed), &computed).unwrap()
    }

    fn work(&mut self, pool: &FramePool, header: &Header, work: &PartitionWork) -> Vec<Frame> {
        let id = header.simulation;
        let address = |kind, tick| Header {
            simulation: id,
            tick,
            partition: work.partition,
            placement_epoch: work.placement_epoch,
            ticks: work.ticks,
            ..self::header(kind)
        };
        let Some((state, tick)) = self.base(id, work) else {
            let unable = Unable {
                reason: unable::NOT_HELD,
                detail: String::new(),
            };
            let header = address(Kind::Unable, header.tick);
            return vec![frame::encode(pool, header, &unable).unwrap()];
        };
        assert_eq!(tick + 1, work.first_tick, "stepped once, and from there");
        let (plan, digest_every) = self.opened.get(&id).expect("opened before").clone();
        let mut answers = Vec::new();
        let wanted = |bit| work.wants & bit != 0;
        if wanted(want::PRIOR_STATE) {
            answers.push(checkpoint(address(Kind::Checkpoint, tick), state));
        }
        let mut held = Held {
            epoch: work.placement_epoch,
            tick,
            state,
        };
        let last = tick + u64::from(work.ticks);
        let mut extras = ResultExtras::default();
        let due = |tick: u64| tick.is_multiple_of(u64::from(digest_every));
        for tick in work.first_tick..=last {
            held.state = step(work.partition, held.state, tick, work);
            held.tick = tick;
            if tick >= work.report_from && tick < last && due(tick) {
                let digest = held.state.wrapping_add(self.digest_error);
                extras.digests.push(TickDigest { tick, digest });
            }
            let tells = self.event_every.is_some_and(|n| tick.is_multiple_of(n));
            if tells && tick >= work.report_from && work.partition == 0 {
                extras.events.push(kernel::event::Event {
                    tick,
                    site: 0,
                    entity: 1,
                    ordinal: 0,
                    kind: kernel::event::kind::TRANSITION,
                    detail: 0,
                    reason: 0,
                });
            }
        }
        self.held.insert((id, work.partition), held);
        if let Some(cut) = plan.partitions[work.partition as usize].cut {
            extras.mail = (cut.first_partition..cut.first_partition + cut.parts)
                .filter(|to| *to != work.partition)
                .map(|to| Mail {
                    tick: last + 1,
                    from: work.partition,
                    to,
                    words: vec![work.partition, last as u32, held.state as u32],
                })
                .collect();
        }
        let rows = u64::from(plan.partitions[work.partition as usize].rows);
        let stepped_one = last >= work.report_from && due(last);
        let has_digest = stepped_one || wanted(want::DIGEST);
        let fixed = ResultFixed {
            aggregate: self.sums.unwrap_or_else(|| honest_sums(rows)),
            digest: held.state.wrapping_add(self.digest_error),
            has_digest: u32::from(has_digest),
            stepped: work.ticks,
            queue_us: 10,
            compute_us: 50 * work.ticks + self.slow_us,
        };
        answers.push(
            transport::result::write(pool, address(Kind::Result, last), &fixed, &extras).unwrap(),
        );
        if wanted(want::VIEW) && !self.no_views {
            answers.push(Frame::bare(address(Kind::View, last)));
        }
        if wanted(want::CHECKPOINT) && !self.no_checkpoints {
            answers.push(checkpoint(address(Kind::Checkpoint, last), held.state));
        }
        answers
    }

    /// The state that work begins with, and its tick.
    fn base(&mut self, id: SimulationId, work: &PartitionWork) -> Option<(u64, u64)> {
        match work.base {
            base::CREATE => Some((u64::from(work.partition) + 1, 0)),
            base::RESTORE => {
                let key = (id, work.partition, work.placement_epoch);
                let (tick, state) = self.checkpoints.remove(&key).expect("it comes first");
                Some((state, tick))
            }
            _ => {
                let held = self.held.get(&(id, work.partition))?;
                let fits = held.epoch == work.placement_epoch && held.tick + 1 == work.first_tick;
                fits.then_some((held.state, held.tick))
            }
        }
    }
}

/// Sums of so many machines that are all alike.
pub(crate) fn honest_sums(rows: u64) -> Aggregate {
    let mut sums = Aggregate {
        rows,
        ..Aggregate::default()
    };
    (sums.by_state[0], sums.by_charge[0]) = (rows, rows);
    sums
}

/// The made-up step: every command and mail of the tick is mixed in, in order.
fn step(partition: u32, state: u64, tick: u64, work: &PartitionWork) -> u64 {
    let mut state = mix(state ^ tick ^ (u64::from(partition) << 40));
    for command in work.commands.iter().filter(|c| c.tick == tick) {
        state = mix(state ^ command.command.seq ^ (u64::from(command.command.target) << 20));
    }
    for mail in work.mail.iter().filter(|m| m.tick == tick) {
        assert_eq!(mail.to, partition);
        assert_eq!(u64::from(mail.words[1]) + 1, tick, "mail takes one tick");
        state = mail.words.iter().fold(state, |s, w| mix(s ^ u64::from(*w)));
    }
    state
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}

/// What the digests of a run must be, computed in one piece.
pub(crate) fn expected_digests(
    spec: &Spec,
    last: u64,
    commands: &[(u64, u64, u32)],
) -> BTreeMap<u64, u64> {
    let plan = Plan::new(&spec.config).unwrap();
    let count = plan.partitions.len() as u32;
    let mut states: Vec<u64> = (0..count).map(|p| u64::from(p) + 1).collect();
    let mut digests = BTreeMap::new();
    for tick in 0..=last {
        let before = states.clone();
        for p in (0..count).filter(|_| tick > 0) {
            let mut work = PartitionWork::default();
            let part = &plan.partitions[p as usize];
            let parts = part
                .cut
                .map_or(0..0, |c| c.first_partition..c.first_partition + c.parts);
            for from in parts.filter(|from| *from != p) {
                let words = vec![from, (tick - 1) as u32, before[from as usize] as u32];
                let to = p;
                work.mail.push(Mail {
                    tick,
                    from,
                    to,
                    words,
                });
            }
            for &(at, seq, entity) in commands {
                if at == tick && plan.partition_of(entity) == p {
                    let action = kernel::command::Action::Hold;
                    let command = kernel::command::Command::new(seq, entity, action);
                    work.commands
                        .push(transport::message::StampedCommand { tick, command });
                }
            }
            states[p as usize] = step(p, before[p as usize], tick, &work);
        }
        if tick.is_multiple_of(u64::from(spec.digest_every)) || tick == last {
            let sum = states.iter().fold(0, |sum: u64, s| sum.wrapping_add(*s));
            digests.insert(tick, sum);
        }
    }
    digests
}

/// What an honest worker computes for an arbitration.
pub(crate) fn honest_digest(arbitration: &Arbitration) -> u64 {
    let state = u64::from_le_bytes(arbitration.checkpoint.payload()[..8].try_into().unwrap());
    let work = PartitionWork {
        commands: arbitration.inputs.commands.clone(),
        mail: arbitration.inputs.mail.clone(),
        ..PartitionWork::default()
    };
    step(arbitration.partition, state, arbitration.tick, &work)
}

pub(crate) fn header(kind: Kind) -> Header {
    Header {
        lease_epoch: 1,
        ..Header::new(kind)
    }
}

pub(crate) fn checkpoint(header: Header, state: u64) -> Frame {
    Frame::from_bytes(header, state.to_le_bytes().to_vec()).unwrap()
}

pub(crate) fn registration() -> Register {
    Register {
        protocol_version: u32::from(PROTOCOL_VERSION),
        kernel_version: KERNEL_VERSION,
        schema_hash: SCHEMA_HASH,
        threads: 2,
        name: "fake".into(),
    }
}
