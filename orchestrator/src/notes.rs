//! What happened in an input is noted before anything of it is polled: by the run it happened to.

use crate::core::Orchestrator;
use crate::event::Event;

impl Orchestrator {
    /// Notes what has happened since the last call.
    pub(crate) fn note(&mut self) {
        while let Some(event) = self.outbox.fresh.pop_front() {
            self.note_event(&event);
            self.outbox.events.push_back(event);
        }
    }

    fn note_event(&mut self, event: &Event) {
        let (now, unix_us) = (self.now, self.wall.unix_us(self.now));
        match event {
            Event::Lifecycle {
                simulation, status, ..
            } => {
                if let Some(run) = self.simulations.get_mut(simulation) {
                    run.record.status(*status, unix_us);
                }
            }
            Event::Tick(tick) => {
                if let Some(run) = self.simulations.get_mut(&tick.simulation) {
                    run.record.completed(now, tick.tick);
                }
            }
            _ => {}
        }
    }
}
