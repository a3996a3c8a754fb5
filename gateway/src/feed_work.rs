//! What a feed does in tasks of their own, and what comes of it: it subscribes, lays out, looks for workers, and
//! reads what it missed from the database.

use std::sync::Arc;
use std::time::Duration;

use kernel::config::ConfigError;
use tracing::{debug, warn};
use transport::control::{Answer, Ask, Log, LogEvent, RefusalKind, Subscribed};

use crate::access::LOCAL_TOKEN;
use crate::client::AskError;
use crate::creation::{Creation, CreationError};
use crate::feed_task::FeedTask;
use crate::latest::NoView;
use crate::mailbox::Close;
use crate::past::PastError;
use crate::stream_limits::{LINGER_HZ, PAST_PAGE, PAST_RETRY, RATE_PAUSE, SUBSCRIBE_RETRY};
use crate::streams::{Connection, JoinError};
use crate::view_index::ViewIndex;

/// What a task of the feed's has done.
pub(crate) enum Done {
    Subscribed(Connection, u32, Result<Box<Subscribed>, AskError>),
    Indexed(Result<ViewIndex, ConfigError>),
    Created(u32, Result<Creation, CreationError>),
    /// How many workers may be given work, if that is known.
    Workers(Option<usize>),
    Read(Log, u64, Result<Vec<LogEvent>, PastError>),
}

/// Reading one log's gap from the database.
#[derive(Default)]
pub(crate) struct Reads {
    pub(crate) is_reading: bool,
    /// Not before then is it looked for again.
    pub(crate) at: Duration,
    /// Since when the same event is looked for, and which.
    pub(crate) since: Option<(Duration, u64)>,
}

impl FeedTask {
    pub(crate) fn subscribe(&mut self, now: Duration) {
        let connection = *self.connection.borrow();
        let wanted = (connection, self.fanout.highest_hz());
        if self.is_asking
            || !connection.is_up
            || self.subscribed == Some(wanted)
            || now < self.ask_due(connection)
        {
            return;
        }
        if self.is_rate_change(connection) {
            self.rate_at = now + RATE_PAUSE;
        }
        self.is_asking = true;
        self.has_asked = true;
        let (client, simulation) = (self.streams.shared().client.clone(), self.simulation);
        self.work.spawn(async move {
            let view_hz = wanted.1;
            let ask = Ask::Subscribe {
                simulation,
                view_hz,
            };
            let answered = match client.ask(0, None, ask).await {
                Ok(Answer::Subscribed(subscribed)) => Ok(subscribed),
                // Any other answer is none to this question.
                Ok(_) => Err(AskError::Disconnected),
                Err(error) => Err(error),
            };
            Done::Subscribed(wanted.0, view_hz, answered)
        });
    }

    /// Lays out what is shown of a simulation that was not started.
    pub(crate) fn create(&mut self) {
        let Some(info) = self.feed.info().filter(|_| self.feed.is_ready()) else {
            return;
        };
        if self.is_creating || !self.feed.is_created() {
            return;
        }
        self.is_creating = true;
        let (simulation, config) = (self.simulation, info.spec.config.clone());
        let epoch = self.feed.begin().epoch;
        self.work.spawn_blocking(move || {
            Done::Created(epoch, Creation::new(simulation, epoch, &config))
        });
    }

    /// Where somebody waits for a tick that only a worker can show, asks whether there is one.
    pub(crate) fn look_for_workers(&mut self) {
        if self.latest.is_empty() || self.has_looked || !self.feed.is_ready() {
            return;
        }
        if self.feed.info().is_some_and(|info| info.settled) {
            self.fail_latest(NoView::Ended);
        } else if !self.feed.is_created() {
            self.has_looked = true;
            let client = self.streams.shared().client.clone();
            self.work.spawn(async move {
                let answered = client.ask(LOCAL_TOKEN, None, Ask::Workers).await;
                Done::Workers(match answered {
                    Ok(Answer::Workers(workers)) => {
                        Some(workers.iter().filter(|w| w.state != "draining").count())
                    }
                    _ => None,
                })
            });
        }
    }

    pub(crate) fn read_gap(&mut self, log: Log, now: Duration) {
        let reads = &mut self.reads[log as usize];
        let Some((from, _)) = self.feed.log(log).wanted() else {
            reads.since = None;
            return;
        };
        if reads.is_reading || now < reads.at {
            return;
        }
        if reads.since.is_none_or(|(_, seq)| seq != from) {
            reads.since = Some((now, from));
        }
        reads.is_reading = true;
        let (streams, simulation) = (self.streams.clone(), self.simulation);
        self.work.spawn(async move {
            let past = &streams.shared().past;
            let read = past.read(simulation, log, from, PAST_PAGE).await;
            Done::Read(log, from, read)
        });
    }

    /// Whether a subscription that is not asked for yet would only change the rate of one that stands.
    fn is_rate_change(&self, connection: Connection) -> bool {
        self.subscribed.is_some_and(|(with, _)| with == connection)
    }

    /// Whether more is wanted of a feed than of one that lingers: what is newest there may be old, so fresh ticks are not put off.
    fn ends_lingering(&self) -> bool {
        let lingers = self.subscribed.is_some_and(|(_, hz)| hz == LINGER_HZ);
        lingers && self.fanout.highest_hz() > LINGER_HZ
    }

    /// When a subscription that is not the wanted one may be asked for.
    pub(crate) fn ask_due(&self, connection: Connection) -> Duration {
        match self.is_rate_change(connection) && !self.ends_lingering() {
            true => self.ask_at.max(self.rate_at),
            false => self.ask_at,
        }
    }

    pub(crate) fn handle_done(&mut self, done: Done) {
        match done {
            Done::Subscribed(connection, hz, answered) => {
                self.is_asking = false;
                self.handle_subscribed(connection, hz, answered);
            }
            Done::Indexed(Ok(index)) => {
                self.feed.handle_index(Arc::new(index));
                for joining in std::mem::take(&mut self.joining) {
                    self.join(joining);
                }
            }
            Done::Indexed(Err(error)) => {
                warn!(simulation = %self.simulation, %error, "no views can be shown");
                self.fanout.close_all(Close::Failed);
                self.fail_joining(|| JoinError::Layout);
                self.is_over = true;
            }
            Done::Created(epoch, Ok(creation)) => {
                self.is_creating = false;
                if let Err(error) = self.feed.handle_creation(epoch, creation) {
                    warn!(simulation = %self.simulation, %error, "its creation is not shown");
                }
            }
            Done::Created(_, Err(error)) => {
                warn!(simulation = %self.simulation, %error, "its creation is not shown");
            }
            Done::Workers(Some(0)) => self.fail_latest(NoView::NoWorker),
            Done::Workers(_) => {}
            Done::Read(log, from, read) => self.handle_read(log, from, read),
        }
    }

    fn handle_subscribed(
        &mut self,
        connection: Connection,
        hz: u32,
        answered: Result<Box<Subscribed>, AskError>,
    ) {
        let now = self.now();
        if connection != *self.connection.borrow() {
            // It is known of another one already, which is asked next.
            self.ask_at = now;
            return;
        }
        match answered {
            Ok(subscribed) => {
                self.subscribed = Some((connection, hz));
                let config = subscribed.info.spec.config.clone();
                self.feed.handle_subscribed(connection.epoch, *subscribed);
                if self.feed.index().is_none() && !self.is_indexing {
                    self.is_indexing = true;
                    self.work
                        .spawn_blocking(move || Done::Indexed(ViewIndex::new(&config)));
                }
            }
            Err(AskError::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => {
                self.fanout.close_all(Close::Deleted);
                self.fail_joining(|| AskError::Refused(refusal.clone()).into());
                self.is_over = true;
            }
            Err(error) if self.feed.info().is_none() => {
                self.fail_joining(|| error.clone().into());
                self.is_over = true;
            }
            Err(error) => {
                debug!(simulation = %self.simulation, %error, "a subscription is tried again");
                self.ask_at = now + SUBSCRIBE_RETRY;
            }
        }
    }

    fn handle_read(&mut self, log: Log, from: u64, read: Result<Vec<LogEvent>, PastError>) {
        let now = self.now();
        let patience = self.streams.shared().bounds.past_patience;
        let reads = &mut self.reads[log as usize];
        reads.is_reading = false;
        let known = self.feed.log_mut(log);
        if known.wanted().is_none_or(|(wanted, _)| wanted != from) {
            return;
        }
        match read {
            Ok(events) if !events.is_empty() => {
                known.handle_past(events);
                if known.next() == from {
                    // It brought nothing: the same read at once would bring nothing again.
                    reads.at = now + PAST_RETRY;
                }
            }
            // It may not have been written yet.
            Ok(_) => {
                reads.at = now + PAST_RETRY;
                if reads
                    .since
                    .is_some_and(|(since, _)| now >= since + patience)
                {
                    known.give_up();
                }
            }
            Err(PastError::NoStore) => known.give_up(),
            // What is held back meanwhile is bounded.
            Err(PastError::Unavailable) => reads.at = now + PAST_RETRY,
        }
    }
}
