//! What speaks to a running orchestrator: each call goes into its loop and comes back with an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use transport::control::{Answer, Ask};

use crate::control::{
    CommandRequest, CommandStamp, ControlError, Refusal, SimulationId, SimulationInfo, Spec, Speed,
    WorkerId,
};
use crate::drive::Driver;
use crate::event::Event;
use crate::limits::SHUTDOWN_PATIENCE;
use crate::snapshot::Snapshot;

/// What is wanted of the loop.
pub(crate) enum Call {
    /// Something is asked of the core; the answer goes this way.
    Ask(Box<Ask>, oneshot::Sender<Answer>),
    /// Something is looked up in the loop itself.
    Look(Look),
}

/// Looks something up in the loop, and says it to whoever asked.
pub(crate) type Look = Box<dyn FnOnce(&mut Driver, Duration) + Send>;

/// Speaks to a running orchestrator; cheap to clone. The loop ends when the last one is dropped.
#[derive(Clone)]
pub struct Handle {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) events: broadcast::WeakSender<Arc<Event>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Asks something of the core, as a gateway does.
    ///
    /// # Errors
    /// The core's refusal; of the kind [`Ending`](crate::control::RefusalKind::Ending) also where the loop has ended.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let call = Call::Ask(Box::new(ask), sender);
        self.calls.send(call).await.map_err(|_| ended())?;
        match receiver.await.map_err(|_| ended())? {
            Answer::Refused(refusal) => Err(refusal),
            answer => Ok(answer),
        }
    }

    /// Adds a simulation. Its farm is cut on a thread of its own, for the loop has no time for that.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn create(&self, spec: Spec) -> Result<SimulationId, Refusal> {
        let id = spec.id;
        self.ask(Ask::Create(spec)).await.map(|_| id)
    }

    /// Starts a created simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn start(&self, id: SimulationId) -> Result<(), Refusal> {
        self.ask(Ask::Start(id)).await.map(drop)
    }

    /// Pauses a running simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn pause(&self, id: SimulationId) -> Result<(), Refusal> {
        self.ask(Ask::Pause(id)).await.map(drop)
    }

    /// Resumes a paused simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn resume(&self, id: SimulationId) -> Result<(), Refusal> {
        self.ask(Ask::Resume(id)).await.map(drop)
    }

    /// Advances a paused simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn step(&self, id: SimulationId, ticks: u64) -> Result<(), Refusal> {
        self.ask(Ask::Step(id, ticks)).await.map(drop)
    }

    /// Stops a simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn stop(&self, id: SimulationId) -> Result<(), Refusal> {
        self.ask(Ask::Stop(id)).await.map(drop)
    }

    /// Changes the speed of a simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn set_speed(&self, simulation: SimulationId, speed: Speed) -> Result<(), Refusal> {
        let ask = Ask::Change {
            simulation,
            speed: Some(speed),
            name: None,
        };
        self.ask(ask).await.map(drop)
    }

    /// Gives a command its place in the log.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    ///
    /// # Panics
    /// Never: a command is answered with its place.
    pub async fn command(
        &self,
        id: SimulationId,
        request: CommandRequest,
    ) -> Result<CommandStamp, Refusal> {
        match self.ask(Ask::Command(id, request)).await? {
            Answer::Stamp(stamp) => Ok(stamp),
            other => panic!("a command is answered with its place, not {other:?}"),
        }
    }

    /// Removes a simulation.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub async fn delete(&self, id: SimulationId) -> Result<(), Refusal> {
        self.ask(Ask::Delete(id)).await.map(drop)
    }

    /// Gives a worker nothing more and moves what it has.
    ///
    /// # Errors
    /// As [`Orchestrator::drain`](crate::Orchestrator::drain), or [`ControlError::Ended`].
    pub async fn drain(&self, worker: WorkerId) -> Result<(), ControlError> {
        self.look(move |d, now| d.core.drain(now, worker)).await?
    }

    /// What can be read of a simulation.
    ///
    /// # Errors
    /// As [`Orchestrator::simulation`](crate::Orchestrator::simulation), or [`ControlError::Ended`].
    pub async fn simulation(&self, id: SimulationId) -> Result<SimulationInfo, ControlError> {
        self.look(move |d, _| d.core.simulation(id)).await?
    }

    /// Ends it as it is to be found again: nothing that is asked is begun any more, every run stands and is cut, its
    /// history is written. It takes at most [`SHUTDOWN_PATIENCE`]; the driving future ends with it. Answers whether all
    /// was written in that time.
    ///
    /// # Errors
    /// [`ControlError::Ended`] where it has ended already.
    pub async fn shutdown(&self) -> Result<bool, ControlError> {
        let (asker, rested) = oneshot::channel();
        let begin = |d: &mut Driver, now: Duration| {
            d.ends_at = Some(now + SHUTDOWN_PATIENCE);
            d.rested = Some(asker);
            d.core.begin_shutdown(now);
        };
        self.look(begin).await?;
        let rested = rested.await.map_err(|_| ControlError::Ended)?;
        self.calls.closed().await;
        Ok(rested)
    }

    /// Everything measured; histograms of runs that go on may be [`HISTOGRAMS_EVERY`](crate::limits::HISTOGRAMS_EVERY) old.
    ///
    /// # Errors
    /// [`ControlError::Ended`].
    pub async fn snapshot(&self) -> Result<Snapshot, ControlError> {
        self.look(Driver::snapshot).await
    }

    /// Waits until a simulation has ended and its last digest is known.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`], or [`ControlError::Ended`], also if it is deleted.
    pub async fn settled(&self, id: SimulationId) -> Result<SimulationInfo, ControlError> {
        let (sender, receiver) = oneshot::channel();
        self.look(move |d, _| {
            let info = d.core.simulation(id)?;
            if info.settled {
                // The one that asks holds the receiver.
                let _ = sender.send(info);
            } else {
                d.settled.entry(id).or_default().push(sender);
            }
            Ok::<(), ControlError>(())
        })
        .await??;
        receiver.await.map_err(|_| ControlError::Ended)
    }

    /// Events from now on. One that is too slow loses the oldest and is told how many.
    ///
    /// # Errors
    /// [`ControlError::Ended`].
    pub fn subscribe(&self) -> Result<broadcast::Receiver<Arc<Event>>, ControlError> {
        let events = self.events.upgrade().ok_or(ControlError::Ended)?;
        Ok(events.subscribe())
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Driver, Duration) -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        let (sender, receiver) = oneshot::channel();
        let boxed: Look = Box::new(move |driver, now| {
            // Whoever asked may have stopped waiting.
            let _ = sender.send(look(driver, now));
        });
        self.calls
            .send(Call::Look(boxed))
            .await
            .map_err(|_| ControlError::Ended)?;
        receiver.await.map_err(|_| ControlError::Ended)
    }
}

fn ended() -> Refusal {
    Refusal::from(ControlError::Ended)
}
