//! What an orchestrator that starts finds, and what a fork begins with.

use kernel::aggregate::Aggregate;
use transport::control::{CommandRequest, CommandStamp, EpochBegin, Spec, Status};
use transport::message::TickDigest;

use crate::history::Cut;
use crate::write::State;

/// A simulation as it is kept.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What was asked for.
    pub spec: Spec,
    /// Where it stands.
    pub state: State,
    /// Last tick of which all history is written. 0 where nothing is.
    pub head_tick: u64,
    /// Newest digest that is written.
    pub digest: Option<TickDigest>,
    /// Sums at the head.
    pub aggregate: Aggregate,
    /// Late ticks up to the head.
    pub late_ticks: u64,
    /// By how much deadlines were shifted up to the head, ms.
    pub dilated_ms: u64,
    /// The newest cut at or before the head (of a fork: its tick) that was made by a kernel of this version and schema; `None` to
    /// begin with creation. Not loaded for a simulation that does not go on.
    pub cut: Option<Cut>,
    /// Commands of ticks after the cut, by (tick, seq), whatever their seqs: one that was placed again is of a later tick than
    /// others of a greater seq. Not loaded for a simulation that does not go on.
    pub commands: Vec<(CommandStamp, CommandRequest)>,
    /// Seq of the newest command; 0 for none.
    pub last_command_seq: u64,
    /// Seq of the newest written event of the log `sim`; 0 for none.
    pub last_sim_seq: u64,
    /// Seq of the newest written event of the log `system`; 0 for none.
    pub last_system_seq: u64,
    /// What the newest written event of a status says; `None` where that is not among the newest
    /// [`crate::limits::LIFECYCLE_WITHIN`] of the log `system`.
    pub last_lifecycle: Option<String>,
    /// Where each orchestrator that took it over began, ascending: the newest [`crate::limits::KEPT_EPOCHS`], the one that
    /// loads it among them.
    pub epochs: Vec<EpochBegin>,
    /// Whether every machine's metadata is written.
    pub has_entities: bool,
}

impl Recovered {
    /// The tick to which it is brought before anything else: that of its head, or a later one at which it was said to
    /// stand.
    #[must_use]
    pub fn goes_to(&self) -> u64 {
        let said = (self.state.step_until).filter(|_| self.state.status != Status::Running);
        self.head_tick.max(said.unwrap_or(0))
    }

    /// Whether it is to be taken up: one in a final status is where its history is not written to its end, or lacks the last
    /// digest.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let to = self.goes_to();
        let is_whole = self.head_tick == to && self.digest.is_some_and(|d| d.tick == to);
        let knows_end = self.state.step_until.is_some_and(|until| until > 0);
        !self.state.status.is_final() || (knows_end && !is_whole)
    }
}
