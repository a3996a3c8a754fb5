//! Sampled verification: a step computed a second time by another worker, and by the orchestrator
//! itself where the two do not agree.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::config::SimulationConfig;
use transport::frame::Frame;
use transport::link::Class;
use transport::message::{Computed, PartitionWork, base, want};

use crate::context::{Context, Outbox};
use crate::control::{SimulationId, WorkerId};
use crate::history::Inputs;
use crate::limits::{ARBITRATION_PATIENCE, MAX_VERIFICATIONS, VERIFICATION_PATIENCE};
use crate::registry::Registry;
use crate::snapshot::Verified;
use crate::wire;

/// A partition's tick: simulation, partition, tick.
pub(crate) type Key = (SimulationId, u32, u64);

/// Whether there are two workers, so that one can repeat what the other did.
pub(crate) fn is_possible(ctx: &Context<'_>) -> bool {
    ctx.config.verify_one_in > 0 && ctx.registry.ready().nth(1).is_some()
}

/// Whether the step of a partition into `tick` is computed a second time: one in `one_in` is, always
/// the same ones for the same seed.
#[must_use]
pub fn is_sampled(seed: u64, partition: u32, tick: u64, one_in: u64) -> bool {
    // The finaliser of splitmix64 spreads neighbouring ticks and partitions.
    let mut x = seed ^ tick.rotate_left(32) ^ (u64::from(partition) << 1);
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    one_in > 0 && x.is_multiple_of(one_in)
}

/// Whether any of a simulation's partitions is sampled in `tick`.
#[must_use]
pub fn any_sampled(seed: u64, partitions: u32, tick: u64, one_in: u64) -> bool {
    (0..partitions).any(|p| is_sampled(seed, p, tick, one_in))
}

/// A step that is to be computed a second time.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) simulation: SimulationId,
    pub(crate) config: SimulationConfig,
    pub(crate) partition: u32,
    pub(crate) epoch: u32,
    pub(crate) tick: u64,
    pub(crate) owner: WorkerId,
    /// Time that repeating it is expected to take, ns.
    pub(crate) cost_ns: u64,
    pub(crate) inputs: Inputs,
    pub(crate) begun: Duration,
}

/// A step on which two workers differ: to be computed by whoever drives the core, who answers with
/// [`crate::core::Orchestrator::handle_arbitrated`].
#[derive(Debug)]
pub struct Arbitration {
    /// Names it in the answer.
    pub request: u64,
    /// What is simulated.
    pub config: SimulationConfig,
    /// Which partition.
    pub partition: u32,
    /// Tick stepped into.
    pub tick: u64,
    /// State before it.
    pub checkpoint: Frame,
    /// The step's inputs.
    pub inputs: Inputs,
}

/// What a difference came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) sample: Sample,
    pub(crate) owner_digest: u64,
    pub(crate) verifier: (WorkerId, u64),
}

#[derive(Debug)]
struct Verification {
    sample: Sample,
    prior: Option<Frame>,
    owner_digest: Option<u64>,
    verifier: Option<WorkerId>,
    verifier_digest: Option<u64>,
    /// When the orchestrator's own answer is waited for no longer.
    arbitrated_by: Duration,
}

/// The verifications under way.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    active: BTreeMap<u64, Verification>,
    last_request: u64,
    pub(crate) found: Verified,
}

impl Verifier {
    /// Begins one; `false`, and counted, if too many are under way.
    pub(crate) fn begin(&mut self, sample: Sample) -> bool {
        if self.active.len() >= MAX_VERIFICATIONS {
            self.found.skipped += 1;
            return false;
        }
        self.last_request += 1;
        let verification = Verification {
            sample,
            prior: None,
            owner_digest: None,
            verifier: None,
            verifier_digest: None,
            arbitrated_by: Duration::ZERO,
        };
        self.active.insert(self.last_request, verification);
        true
    }

    /// Last tick of a partition, up to `completed`, before every step of it that is being verified: a
    /// later checkpoint may be of a wrong state.
    pub(crate) fn trusted(&self, id: SimulationId, partition: u32, completed: u64) -> u64 {
        let of = |s: &&Sample| s.simulation == id && s.partition == partition;
        let samples = self.active.values().map(|v| &v.sample).filter(of);
        samples.fold(completed, |trusted, s| trusted.min(s.tick - 1))
    }

    /// Gives up what is verified of a partition whose inputs can be kept no longer.
    pub(crate) fn partition_is_full(&mut self, id: SimulationId, partition: u32) {
        self.give_up(|v| v.sample.simulation == id && v.sample.partition == partition);
    }

    /// Time that the steps a worker was asked to repeat are expected to take, ns.
    pub(crate) fn owed_ns(&self, worker: WorkerId) -> u64 {
        let asked = self.active.values();
        asked
            .filter(|v| v.verifier == Some(worker) && v.verifier_digest.is_none())
            .map(|v| v.sample.cost_ns)
            .sum()
    }

    /// The owner's digest came.
    pub(crate) fn owner_digest(&mut self, key: Key, epoch: u32, digest: u64) {
        if let Some(v) = self.find(key, epoch) {
            v.owner_digest = Some(digest);
        }
    }

    /// The state before the step came, if this is it.
    pub(crate) fn prior(&mut self, key: Key, epoch: u32, frame: &Frame) {
        if let Some(v) = self.find(key, epoch) {
            v.prior = Some(frame.clone());
        }
    }

    /// Asks other workers to repeat what is ready to be repeated.
    pub(crate) fn advance(&mut self, lease_epoch: u32, registry: &Registry, outbox: &mut Outbox) {
        for (request, v) in &mut self.active {
            let (Some(prior), Some(_), None) = (&v.prior, v.owner_digest, v.verifier) else {
                continue;
            };
            let others: Vec<_> = registry
                .ready()
                .filter(|w| w.id != v.sample.owner)
                .map(|w| (w.id, w.peer))
                .collect();
            if others.is_empty() {
                continue;
            }
            let (id, peer) = others[(*request % others.len() as u64) as usize];
            v.verifier = Some(id);
            let sample = &v.sample;
            let work = PartitionWork {
                partition: sample.partition,
                placement_epoch: sample.epoch,
                base: base::RESTORE,
                first_tick: sample.tick,
                ticks: 1,
                report_from: sample.tick,
                wants: want::DIGEST,
                commands: sample.inputs.commands.clone(),
                mail: sample.inputs.mail.clone(),
            };
            let (id, config) = (sample.simulation, &sample.config);
            let compute = wire::compute_tick(&outbox.pool, lease_epoch, id, *request, config, work);
            // Its inputs fitted the dispatch, so they fit this; if not, it is given up in time.
            let Ok(compute) = compute else { continue };
            let group = outbox.new_group();
            let frame = wire::readdress(prior, lease_epoch, sample.partition, sample.epoch);
            outbox.send(peer, Class::Tick, group, frame, false);
            outbox.send(peer, Class::Tick, group, compute, true);
        }
    }

    /// A worker's answer. On a difference the step is handed out for arbitration.
    pub(crate) fn computed(
        &mut self,
        now: Duration,
        worker: WorkerId,
        computed: &Computed,
        outbox: &mut Outbox,
    ) {
        let request = computed.request;
        let Some(v) = self.active.get_mut(&request) else {
            return;
        };
        if v.verifier != Some(worker) || v.verifier_digest.is_some() {
            return;
        }
        if computed.unable != 0 {
            self.active.remove(&request);
            self.found.skipped += 1;
        } else if v.owner_digest == Some(computed.digest) {
            self.active.remove(&request);
            self.found.agreed += 1;
        } else {
            v.verifier_digest = Some(computed.digest);
            v.arbitrated_by = now + ARBITRATION_PATIENCE;
            outbox.arbitrations.push_back(Arbitration {
                request,
                config: v.sample.config.clone(),
                partition: v.sample.partition,
                tick: v.sample.tick,
                checkpoint: v.prior.clone().expect("sent with the request"),
                inputs: Inputs {
                    commands: v.sample.inputs.commands.clone(),
                    mail: v.sample.inputs.mail.clone(),
                },
            });
        }
    }

    /// Ends an arbitration; `None` if it is not under way.
    pub(crate) fn arbitrated(&mut self, request: u64) -> Option<Verdict> {
        let v = self.active.get(&request)?;
        let verifier = (v.verifier?, v.verifier_digest?);
        let owner_digest = v.owner_digest?;
        let sample = self.active.remove(&request)?.sample;
        self.found.mismatches += 1;
        Some(Verdict {
            sample,
            owner_digest,
            verifier,
        })
    }

    /// Gives up what a worker that is gone has a part in, but not what is being arbitrated.
    pub(crate) fn worker_gone(&mut self, worker: WorkerId) {
        self.give_up(|v| {
            let owed = v.sample.owner == worker && v.verifier.is_none();
            owed || v.verifier == Some(worker)
        });
    }

    /// Gives up what a simulation that is gone has under way.
    pub(crate) fn simulation_gone(&mut self, id: SimulationId) {
        self.give_up(|v| v.sample.simulation == id);
    }

    /// Gives up what takes too long; answers what two workers differ on and the orchestrator itself
    /// does not come to an end with.
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> Vec<Verdict> {
        self.give_up(|v| v.sample.begun + VERIFICATION_PATIENCE <= now);
        let overdue = |v: &Verification| v.verifier_digest.is_some() && v.arbitrated_by <= now;
        let overdue = self.active.iter().filter(|(_, v)| overdue(v));
        let overdue: Vec<u64> = overdue.map(|(request, _)| *request).collect();
        overdue
            .into_iter()
            .filter_map(|request| self.arbitrated(request))
            .collect()
    }

    /// When [`Verifier::handle_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.active
            .values()
            .map(|v| match v.verifier_digest {
                None => v.sample.begun + VERIFICATION_PATIENCE,
                Some(_) => v.arbitrated_by,
            })
            .min()
    }

    fn give_up(&mut self, gone: impl Fn(&Verification) -> bool) {
        let before = self.active.len();
        // What two workers differ on is never dropped: it waits for the arbitration.
        self.active
            .retain(|_, v| v.verifier_digest.is_some() || !gone(v));
        self.found.skipped += (before - self.active.len()) as u64;
    }

    fn find(&mut self, key: Key, epoch: u32) -> Option<&mut Verification> {
        self.active.values_mut().find(|v| {
            (v.sample.simulation, v.sample.partition, v.sample.tick) == key
                && v.sample.epoch == epoch
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_in_a_thousand_is_sampled_and_always_the_same() {
        let sampled = |seed| {
            (0..100_u32)
                .flat_map(|p| (1..=10_000_u64).map(move |t| (p, t)))
                .filter(|(p, t)| is_sampled(seed, *p, *t, 1_000))
                .count()
        };
        let n = sampled(7);
        assert!((800..1_200).contains(&n), "{n} of 1,000,000");
        assert_eq!(sampled(7), n);
        assert!(!is_sampled(7, 0, 1, 0), "0 is never");
        assert!(is_sampled(7, 0, 1, 1), "1 is always");
    }
}
