//! Sending a window: who steps what, from which base, with which inputs. A hand-over is the same
//! message from an older base.

use std::collections::BTreeMap;

use transport::frame::Frame;
use transport::link::{Class, PeerId};
use transport::message::{Dispatch, Mail, PartitionWork, StampedCommand, base, want};

use crate::agenda::Next;
use crate::context::Context;
use crate::control::{Cause, Speed, WorkerId};
use crate::event::Event;
use crate::history;
use crate::limits::{CREATE_NS_PER_ROW, MAX_DISPATCH_BYTES};
use crate::placement;
use crate::registry::Debt;
use crate::simulation::Simulation;
use crate::verify;
use crate::window::Window;
use crate::wire;

/// Bytes that a partition's work takes in a frame beside its inputs.
const WORK_BYTES: usize = size_of::<PartitionWork>();

/// One partition's work and, where it is restored, the checkpoint that goes before it.
struct Parcel {
    work: PartitionWork,
    checkpoint: Option<Frame>,
    bytes: usize,
}

impl Simulation {
    /// Dispatches what is due, if no window is in flight, and what lost its worker, if one is.
    pub(crate) fn advance(&mut self, ctx: &mut Context<'_>) {
        // A verification may have come to its end.
        self.hand_out_cut(ctx);
        if self.window.is_some() {
            if !(self.status.is_final() && self.is_out_of_reach(ctx)) {
                self.place_missing(ctx);
                self.send_waiting(ctx);
                return;
            }
            // It ends with the last complete tick, for nobody will ever complete this one.
            self.window = None;
        }
        if !self.catch_up(ctx) {
            return;
        }
        match self.next(ctx) {
            Next::Wait => self.release_movers(ctx),
            Next::WaitUntil(_) => {}
            Next::Settle => self.settle(ctx),
            Next::Window {
                ticks,
                wants_digest,
                deadline,
            } => {
                self.switch_movers(ctx);
                if !self.place_all(ctx) {
                    if ticks > 0 {
                        self.owed_since.get_or_insert(ctx.now);
                    }
                    return;
                }
                let first = self.completed.map_or(0, |t| t + 1);
                let mut window = Window::new(first, ticks, self.partitions.len(), ctx.now)
                    .with_digests(self.spec.digest_every, wants_digest);
                window.deadline = deadline;
                window.schedule = deadline.map(|_| self.schedule.clone());
                window.owed_since = self.owed_since.take();
                window.replayed = self.replay.is_some_and(|replay| replay.repeats(first));
                let arrives = self.replay.is_none_or(|replay| window.last >= replay.to);
                let ends = arrives && self.status.is_final() || window.last == self.last_tick();
                window.wants_view =
                    !window.replayed && self.views.begin(ctx.now, window.last, ends);
                window.is_cut = !window.replayed && self.begin_cut(ctx, window.last);
                self.dispatch(ctx, window);
            }
        }
    }

    /// Sends a new window.
    fn dispatch(&mut self, ctx: &mut Context<'_>, mut window: Window) {
        self.load_inputs(&window);
        window.handed_over = !window.creation && self.partitions.iter().any(|p| !p.held);
        self.sample(ctx, &mut window);
        if self.schedule.speed() == Speed::Max {
            // A later change of speed counts from the last tick dispatched.
            self.schedule.restart(ctx.now, window.last);
        }
        self.window = Some(window);
        self.send(ctx, (0..self.partitions.len()).collect());
    }

    /// Moves the window's commands and mail into the histories of those who read them.
    fn load_inputs(&mut self, window: &Window) {
        let later = self.pending.split_off(&(window.last + 1));
        for (tick, by_partition) in std::mem::replace(&mut self.pending, later) {
            for (p, commands) in by_partition {
                self.pending_count -= commands.len();
                let plan = self.plan.as_ref().expect("a run that goes on has a plan");
                let machines = commands.iter().filter_map(|c| plan.machines_of(c, p));
                self.totals.commands += machines.map(u64::from).sum::<u64>();
                let history = &mut self.partitions[p as usize].history;
                for command in commands {
                    history.push_command(StampedCommand { tick, command });
                }
            }
        }
        if window.ticks > 0 && self.cut {
            for (p, state) in (0_u32..).zip(&mut self.partitions) {
                for mail in self.routing.collect(p) {
                    state.history.push_mail(mail);
                }
            }
        }
    }

    /// Chooses the partitions of a one-tick window whose step is computed a second time.
    fn sample(&mut self, ctx: &mut Context<'_>, window: &mut Window) {
        if window.ticks != 1 || !verify::is_possible(ctx) {
            return;
        }
        let one_in = ctx.config.verify_one_in;
        for (p, state) in (0_u32..).zip(&self.partitions) {
            let chosen = verify::is_sampled(self.spec.config.seed, p, window.last, one_in);
            let Some(owner) = state.owner.filter(|_| chosen && state.held) else {
                continue;
            };
            let inputs = state.history.inputs_of(window.last);
            window.slots[p as usize].sampled = ctx.verifier.begin(verify::Sample {
                simulation: self.spec.id,
                config: self.spec.config.clone(),
                partition: p,
                epoch: state.epoch,
                tick: window.last,
                owner,
                cost_ns: self.step_ns(p as usize) + state.rows * CREATE_NS_PER_ROW,
                inputs,
                begun: ctx.now,
            });
        }
    }

    /// Sends what waited until its owner had answered other replays, as far as it has.
    fn send_waiting(&mut self, ctx: &mut Context<'_>) {
        let Some(window) = self.window.as_mut().filter(|w| !w.waiting.is_empty()) else {
            return;
        };
        let mut waiting = std::mem::take(&mut window.waiting);
        waiting.sort_unstable();
        waiting.dedup();
        // What was taken from that owner meanwhile has been placed and sent since, or will be.
        waiting.retain(|&p| {
            let state = &self.partitions[p];
            state.owner.is_some() && !state.held
        });
        self.send(ctx, waiting);
    }

    /// What an owner is going to owe for a partition of the window in flight.
    fn debt_of(&self, p: usize) -> Debt {
        let window = self.window.as_ref().expect("in flight");
        let state = &self.partitions[p];
        let replayed = !state.held && !window.creation;
        let checkpoint = state.history.checkpoint().map_or(0, |c| c.payload().len());
        Debt {
            ns: self.expected_ns(p),
            restoring: usize::from(replayed),
            bytes: match replayed {
                true => checkpoint + state.history.input_bytes(),
                false => 0,
            },
        }
    }

    /// Notes what `owner` is going to owe for these partitions; answers those that it is to be sent
    /// now. The others wait.
    fn owe(
        &mut self,
        ctx: &mut Context<'_>,
        owner: WorkerId,
        partitions: Vec<usize>,
    ) -> Vec<usize> {
        let mut now = Vec::with_capacity(partitions.len());
        for p in partitions {
            let debt = self.debt_of(p);
            if debt.restoring > 0 && !ctx.registry.may_restore(owner, debt.bytes) {
                let window = self.window.as_mut().expect("in flight");
                window.slots[p].sent_at = None;
                window.waiting.push(p);
                continue;
            }
            ctx.registry.owe(owner, debt);
            self.partitions[p].debt = debt;
            now.push(p);
        }
        now
    }

    /// Sends the work of these partitions of the window in flight to their owners, as one dispatch
    /// a worker, or more where it would be too large. Replays beyond what a worker is sent at once
    /// wait for its results.
    fn send(&mut self, ctx: &mut Context<'_>, partitions: Vec<usize>) {
        let mut by_owner: BTreeMap<WorkerId, Vec<usize>> = BTreeMap::new();
        for p in partitions {
            let owner = self.partitions[p].owner.expect("placed before it is sent");
            by_owner.entry(owner).or_default().push(p);
        }
        for (owner, partitions) in by_owner {
            let Some(peer) = ctx.registry.get(owner).map(|w| w.peer) else {
                unreachable!("a worker that is gone owns nothing");
            };
            let owed_ns = ctx.owed_ns(owner);
            let partitions = self.owe(ctx, owner, partitions);
            if partitions.is_empty() {
                continue;
            }
            let expected = self.expected(ctx, owner, &partitions, owed_ns);
            let mut parcels = Vec::new();
            let mut bytes = 0;
            for p in partitions {
                let parcel = self.parcel(ctx, p);
                if bytes > 0 && bytes + parcel.bytes > MAX_DISPATCH_BYTES {
                    self.send_parcels(ctx, owner, peer, std::mem::take(&mut parcels));
                    bytes = 0;
                }
                bytes += parcel.bytes;
                parcels.push(parcel);
                let window = self.window.as_mut().expect("in flight");
                let slot = &mut window.slots[p];
                slot.sent_at = Some(ctx.now);
                slot.attempts += 1;
                slot.due_by = ctx.now + expected;
                window.suspect_from = window.suspect_from.min(slot.due_by);
            }
            self.send_parcels(ctx, owner, peer, parcels);
        }
        if self.unsendable {
            self.fail(ctx, Cause::Unable);
        }
    }

    /// One stream: the simulation if the worker does not know it, checkpoints, the dispatch.
    fn send_parcels(
        &mut self,
        ctx: &mut Context<'_>,
        owner: WorkerId,
        peer: PeerId,
        parcels: Vec<Parcel>,
    ) {
        let window = self.window.as_ref().expect("in flight");
        let group = ctx.outbox.new_group();
        let address = wire::Address {
            lease_epoch: ctx.config.lease_epoch,
            simulation: self.spec.id,
            tick: window.last,
            ticks: window.ticks,
        };
        if self.opened.insert(owner) {
            // On the same stream, so that it cannot be overtaken by the dispatch.
            let frame = wire::open(
                &ctx.outbox.pool,
                &address,
                &self.spec.config,
                self.spec.digest_every,
            );
            ctx.outbox.send(peer, Class::Tick, group, frame, false);
        }
        let mut dispatch = Dispatch::default();
        for parcel in parcels {
            if let Some(checkpoint) = parcel.checkpoint {
                ctx.outbox.send(peer, Class::Tick, group, checkpoint, false);
            }
            dispatch.work.push(parcel.work);
        }
        match wire::dispatch(&ctx.outbox.pool, &address, &dispatch) {
            Ok(frame) => ctx.outbox.send(peer, Class::Tick, group, frame, true),
            Err(fault) => {
                tracing::error!(simulation = %self.spec.id, tick = address.tick, %fault,
                    "a partition's inputs do not fit a frame");
                self.unsendable = true;
            }
        }
        for work in dispatch.work {
            self.take_back(work.partition, work.mail);
        }
    }

    /// Takes lent mail back into the history.
    fn take_back(&mut self, partition: u32, mail: Vec<Mail>) {
        self.partitions[partition as usize].history.give_back(mail);
    }

    /// The work of one partition, from what its owner has or from its last checkpoint on.
    fn parcel(&mut self, ctx: &Context<'_>, p: usize) -> Parcel {
        let last = self.window.as_ref().map_or(0, |w| w.last);
        let wants_checkpoint = self.ask_checkpoint(p, last, ctx.now);
        let count = self.partitions.len();
        let window = self.window.as_mut().expect("in flight");
        let state = &mut self.partitions[p];
        let slot = &mut window.slots[p];
        let replay = !state.held && !window.creation;
        // A sample needs the owner that began it, at the tick before.
        slot.sampled &= state.held;
        let (base, first_tick) = match (state.held, state.history.checkpoint()) {
            (true, _) => (base::HELD, window.first),
            (false, Some(_)) => (base::RESTORE, state.history.base_tick() + 1),
            (false, None) => (base::CREATE, 1),
        };
        let checkpoint = (base == base::RESTORE).then(|| {
            let frame = state.history.checkpoint().expect("matched above");
            let partition = u32::try_from(p).expect("partitions are counted in 32 bits");
            wire::readdress(frame, ctx.config.lease_epoch, partition, state.epoch)
        });
        slot.steps = (window.last + 1).saturating_sub(first_tick);
        if replay {
            self.totals.replays += 1;
            self.totals.replayed_ticks += slot.steps - u64::from(window.ticks);
        }
        state.held = true;
        if window.wants_view {
            let owner = state.owner.expect("placed before it is sent");
            self.views.ask(ctx.now, p, count, (owner, state.epoch));
        }
        let inputs = state.history.lend(first_tick);
        let mut wants = 0;
        for (bit, wanted) in [
            (want::VIEW, window.wants_view),
            (want::DIGEST, window.wants_digest || slot.sampled),
            (want::CHECKPOINT, wants_checkpoint),
            (want::PRIOR_STATE, slot.sampled),
        ] {
            wants |= if wanted { bit } else { 0 };
        }
        Parcel {
            bytes: WORK_BYTES + history::inputs_bytes(&inputs),
            work: PartitionWork {
                partition: u32::try_from(p).expect("partitions are counted in 32 bits"),
                placement_epoch: state.epoch,
                base,
                first_tick,
                ticks: u32::try_from(slot.steps).expect("ticks are counted in 32 bits"),
                report_from: window.first,
                wants,
                commands: inputs.commands,
                mail: inputs.mail,
            },
            checkpoint,
        }
    }

    /// Gives every partition without a worker to one; `false` if there is none to give it to.
    fn place_all(&mut self, ctx: &mut Context<'_>) -> bool {
        let lost: Vec<usize> = (0..self.partitions.len())
            .filter(|p| self.partitions[*p].owner.is_none())
            .collect();
        self.place(ctx, &lost)
    }

    /// Places and sends what of the window in flight lost its worker.
    fn place_missing(&mut self, ctx: &mut Context<'_>) {
        let window = self.window.as_mut().expect("in flight");
        if window.ownerless.is_empty() {
            return;
        }
        let mut lost = std::mem::take(&mut window.ownerless);
        lost.sort_unstable();
        let placed = self.place(ctx, &lost);
        let window = self.window.as_mut().expect("in flight");
        if placed {
            window.handed_over = true;
            self.send(ctx, lost);
        } else {
            window.ownerless = lost;
        }
    }

    /// Gives these partitions to workers that may take them, each under a new placement epoch.
    fn place(&mut self, ctx: &mut Context<'_>, lost: &[usize]) -> bool {
        if lost.is_empty() {
            return true;
        }
        let rows: Vec<u64> = lost.iter().map(|p| self.partitions[*p].rows).collect();
        let capacities = ctx.registry.capacities(|worker| self.rows_of(worker));
        let Some(owners) = placement::assign(&rows, &capacities) else {
            if !std::mem::replace(&mut self.said_no_worker, true) {
                ctx.outbox.event(Event::NoWorker {
                    simulation: self.spec.id,
                    tick: self.completed.unwrap_or(0),
                });
            }
            return false;
        };
        self.said_no_worker = false;
        for (p, owner) in lost.iter().zip(owners) {
            self.hand_over(ctx, *p, owner);
        }
        true
    }

    /// Carries out the moves whose checkpoint has come.
    fn switch_movers(&mut self, ctx: &mut Context<'_>) {
        for p in 0..self.partitions.len() {
            let state = &self.partitions[p];
            let Some((to, since)) = state.moving else {
                continue;
            };
            if !ctx.registry.is_ready(to) {
                self.partitions[p].moving = None;
                continue;
            }
            // Before the first tick there is nothing that a checkpoint could save.
            let ready = self.completed == Some(0)
                || since.is_some_and(|tick| state.history.base_tick() >= tick);
            if ready {
                self.release(ctx, p);
                self.hand_over(ctx, p, to);
            }
        }
    }

    /// A run that stands has no next window to move with: what is to move is taken away at once,
    /// and placed when the run goes on.
    fn release_movers(&mut self, ctx: &mut Context<'_>) {
        for p in 0..self.partitions.len() {
            if self.partitions[p].moving.is_some() {
                self.release(ctx, p);
            }
        }
    }

    /// Gives a partition that nobody has to a worker.
    fn hand_over(&mut self, ctx: &mut Context<'_>, p: usize, to: WorkerId) {
        let replayed = match self.completed {
            Some(tick) => tick - self.partitions[p].history.base_tick(),
            None => 0,
        };
        let state = &mut self.partitions[p];
        debug_assert!(state.owner.is_none(), "taken from its owner first");
        let first = state.epoch == 0;
        state.owner = Some(to);
        state.epoch += 1;
        state.held = false;
        state.moving = None;
        state.asked = None;
        if !first {
            self.totals.moves += 1;
            ctx.outbox.event(Event::Moved {
                simulation: self.spec.id,
                partition: u32::try_from(p).expect("partitions are counted in 32 bits"),
                to,
                epoch: self.partitions[p].epoch,
                replayed,
            });
        }
    }

    /// Takes a partition from its owner, who is told if it can be.
    pub(crate) fn release(&mut self, ctx: &mut Context<'_>, p: usize) {
        let state = &mut self.partitions[p];
        let Some(owner) = state.owner.take() else {
            return;
        };
        ctx.registry.pay(owner, std::mem::take(&mut state.debt));
        state.held = false;
        state.moving = None;
        self.lose_view(p);
        self.lose_checkpoint_of_cut(ctx.now, p);
        let state = &mut self.partitions[p];
        if state.asked.take().is_some() {
            // What was asked for may never come: it is due at once, not an interval later.
            state.checkpoint_at = 0;
        }
        if let Some(window) = &mut self.window
            && window.slots[p].report.is_none()
        {
            window.ownerless.push(p);
        }
        let state = &self.partitions[p];
        if let Some(peer) = ctx.registry.get(owner).map(|w| w.peer) {
            let partition = u32::try_from(p).expect("partitions are counted in 32 bits");
            let (lease, id) = (ctx.config.lease_epoch, self.spec.id);
            let frame = wire::release(lease, id, partition, state.epoch);
            ctx.outbox.send(peer, Class::Control, 0, frame, false);
        }
    }
}
