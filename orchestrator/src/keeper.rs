//! The database on the side of the drive loop: tasks that write what the core hands out, and renew the
//! lease. They wait for the database so that the loop never does.
//!
//! Groups of writes and batches of history go their own ways. What the database does not take is
//! tried again, at growing intervals, for ever; where it was taken over by another, everything ends.

use std::time::Duration;

use store::Store;
use store::error::StoreError;
use store::history::Batch;
use store::lease::Lease;
use store::limits::MAX_GROUP;
use store::retention::{Pruner, Retention};
use store::write::{Committed, Write};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::fault::StoreFault;
use crate::limits::{FIRST_BACK_OFF, MAX_BACK_OFF, PRUNE_EVERY, RENEW_EVERY, TOLD_QUEUE};

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// What became of a group of writes; the next one may come.
    Committed(Vec<(u64, Result<Committed, StoreFault>)>),
    /// What became of a batch, or why it is not written yet.
    Appended(u64, Result<(), StoreFault>),
    /// Nothing more is written, and why.
    Over(String),
}

/// The tasks, as the loop owns them. Dropped, they end.
#[derive(Debug)]
pub(crate) struct Keeper {
    groups: mpsc::Sender<Vec<Write>>,
    batches: mpsc::Sender<Batch>,
    pub(crate) told: mpsc::Receiver<Told>,
    /// Whether a group is under way.
    is_busy: bool,
    _tasks: JoinSet<()>,
}

impl Keeper {
    /// Starts the tasks for a database that is this process's.
    pub(crate) fn start(store: &Store, lease: &Lease, retention: Retention) -> Keeper {
        let (groups, group_queue) = mpsc::channel(1);
        let (batches, batch_queue) = mpsc::channel(1);
        let (tell, told) = mpsc::channel(TOLD_QUEUE);
        let mut tasks = JoinSet::new();
        let teller = Teller {
            store: store.clone(),
            lease: lease.clone(),
            tell,
        };
        tasks.spawn(teller.clone().commit(group_queue));
        tasks.spawn(teller.clone().append(batch_queue));
        tasks.spawn(teller.clone().prune(retention));
        tasks.spawn(teller.renew());
        Keeper {
            groups,
            batches,
            told,
            is_busy: false,
            _tasks: tasks,
        }
    }

    /// Takes the next group, if none is under way.
    pub(crate) fn write(&mut self, mut next: impl FnMut() -> Option<Write>) {
        if self.is_busy {
            return;
        }
        let group: Vec<Write> = std::iter::from_fn(&mut next).take(MAX_GROUP).collect();
        if !group.is_empty() {
            self.is_busy = true;
            // The task has ended only where everything has.
            let _ = self.groups.try_send(group);
        }
    }

    /// Takes a batch, of which one is under way at a time.
    pub(crate) fn append(&self, batch: Batch) {
        let _ = self.batches.try_send(batch);
    }

    /// A group came back.
    pub(crate) fn came_back(&mut self) {
        self.is_busy = false;
    }
}

/// What every task works with.
#[derive(Clone, Debug)]
struct Teller {
    store: Store,
    lease: Lease,
    tell: mpsc::Sender<Told>,
}

impl Teller {
    async fn commit(self, mut groups: mpsc::Receiver<Vec<Write>>) {
        let mut back_off = FIRST_BACK_OFF;
        while let Some(group) = groups.recv().await {
            let mut fate = Fate::default();
            let told = loop {
                match self.store.commit(&self.lease, &group).await {
                    Ok(committed) => {
                        back_off = FIRST_BACK_OFF;
                        let ids = group.iter().map(|write| write.id);
                        break ids.zip(committed.into_iter().map(Ok)).collect();
                    }
                    Err(error) => {
                        let Some(fault) = self.fault(error, "writes").await else {
                            return;
                        };
                        sleep(back_off).await;
                        back_off = (2 * back_off).min(MAX_BACK_OFF);
                        if fate.is_refused(&fault) {
                            break group.iter().map(|w| (w.id, Err(fault.clone()))).collect();
                        }
                    }
                }
            };
            if self.tell.send(Told::Committed(told)).await.is_err() {
                return;
            }
        }
    }

    async fn append(self, mut batches: mpsc::Receiver<Batch>) {
        let mut back_off = FIRST_BACK_OFF;
        while let Some(batch) = batches.recv().await {
            loop {
                let result = match self.store.append(&self.lease, &batch).await {
                    Ok(()) => Ok(()),
                    Err(error) => match self.fault(error, "history").await {
                        Some(fault) => Err(fault),
                        None => return,
                    },
                };
                let is_written = result.is_ok();
                let told = Told::Appended(batch.id, result);
                if self.tell.send(told).await.is_err() {
                    return;
                }
                if is_written {
                    back_off = FIRST_BACK_OFF;
                    break;
                }
                sleep(back_off).await;
                back_off = (2 * back_off).min(MAX_BACK_OFF);
            }
        }
    }

    async fn renew(self) {
        let mut times = interval(RENEW_EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            if let Err(error) = self.store.renew(&self.lease).await
                && self.fault(error, "the lease").await.is_none()
            {
                return;
            }
        }
    }

    async fn prune(self, retention: Retention) {
        let mut pruner = Pruner::new(retention);
        let mut times = interval(PRUNE_EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            loop {
                match self.store.prune(&self.lease, &mut pruner).await {
                    Ok(pruned) if pruned.more => {}
                    Ok(_) => break,
                    Err(error) => match self.fault(error, "retention").await {
                        Some(_) => break,
                        None => return,
                    },
                }
            }
        }
    }

    /// What is to be done about an error; `None` where all is over, which is told.
    async fn fault(&self, error: StoreError, of: &'static str) -> Option<StoreFault> {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(of, %error, "the database is tried again");
                Some(StoreFault::Unavailable)
            }
            StoreError::DiskFull(_) => {
                tracing::warn!(of, %error, "the database is tried again");
                Some(StoreFault::DiskFull)
            }
            error => {
                let reason = self.reason(&error).await;
                // The loop has ended if nobody hears it.
                let _ = self.tell.send(Told::Over(reason)).await;
                None
            }
        }
    }

    /// Why nothing more is written, and who owns the database now.
    async fn reason(&self, error: &StoreError) -> String {
        if !matches!(error, StoreError::LeaseLost { .. }) {
            return error.to_string();
        }
        match self.store.owner().await {
            Ok(Some(owner)) => format!("{error}: {} has epoch {}", owner.address, owner.epoch),
            _ => error.to_string(),
        }
    }
}

/// What is known of a group that is being written.
#[derive(Debug, Default)]
struct Fate {
    /// It was not answered once: it may have been kept.
    in_doubt: bool,
}

impl Fate {
    /// The database did not take it; answers whether it is known that nothing of it was kept. Of what
    /// does not fit nothing was, by that attempt; of one that was not answered nobody knows, so that
    /// after such a one the group is tried until it is told what became of it.
    fn is_refused(&mut self, fault: &StoreFault) -> bool {
        self.in_doubt |= *fault != StoreFault::DiskFull;
        !self.in_doubt
    }
}

/// Whether it is worth waiting for a database that answers so.
pub(crate) async fn waits_for(
    error: StoreError,
    back_off: &mut Duration,
) -> Result<(), StoreError> {
    if !error.is_worth_retrying() {
        return Err(error);
    }
    tracing::warn!(%error, "the database is tried again");
    sleep(*back_off).await;
    *back_off = (2 * *back_off).min(MAX_BACK_OFF);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_unless_an_attempt_before_may_have_kept_it() {
        let mut fate = Fate::default();
        assert!(fate.is_refused(&StoreFault::DiskFull));
        assert!(fate.is_refused(&StoreFault::DiskFull));
        assert!(!fate.is_refused(&StoreFault::Unavailable));
        assert!(!fate.is_refused(&StoreFault::DiskFull));
        assert!(!fate.is_refused(&StoreFault::Unavailable));
        assert!(!fate.is_refused(&StoreFault::DiskFull));
    }
}
