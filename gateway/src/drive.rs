//! The one loop that owns the link to the orchestrator: link events and questions in, frames and answers
//! out. The only place of the gateway that drives an [`Exchange`]; it never waits for a feed or a handler.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};
use transport::control::Answer;
use transport::link::Endpoint;
use transport::pool::FramePool;

use crate::client::{AskError, Asked, Question, Standing};
use crate::connector::Connector;
use crate::exchange::{Exchange, FeedInput, Over};
use crate::limits::{FIRST_RETRY, LAST_RETRY, MAX_BATCH};

type Replies = BTreeMap<u64, oneshot::Sender<Result<Answer, AskError>>>;

/// Keeps a connection to the orchestrator until `stop` is ready. What is published and every loss goes to `feed`, which never waits.
pub async fn run(
    connector: Connector,
    name: String,
    pool: FramePool,
    mut asked: Asked,
    feed: impl Fn(FeedInput),
    stop: impl Future<Output = ()>,
) {
    let start = Instant::now();
    let mut pause = FIRST_RETRY;
    let mut newest_epoch = 0;
    let kept = async {
        for attempt in 0_usize.. {
            match connector.connect(&name, attempt) {
                Ok(endpoint) => {
                    let exchange =
                        Exchange::new(&name, pool.clone(), newest_epoch, start.elapsed());
                    let mut connection = Connection {
                        start,
                        exchange,
                        replies: BTreeMap::new(),
                        was_ready: false,
                    };
                    let over = connection.drive(endpoint, &mut asked, &feed).await;
                    newest_epoch = connection.exchange.newest_epoch();
                    warn!(reason = %over, "no connection to the orchestrator");
                    note(&asked, newest_epoch, false, over.to_string());
                    if connection.was_ready {
                        pause = FIRST_RETRY;
                        feed(FeedInput::Lost);
                    }
                }
                Err(error) => {
                    warn!(%error, "no connection to the orchestrator");
                    note(&asked, newest_epoch, false, error.to_string());
                }
            }
            meanwhile(&mut asked, sleep(jittered(pause))).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    };
    tokio::select! {
        () = kept => {}
        () = stop => {}
    }
}

/// Half of the pause to all of it, so that gateways that lost the same orchestrator do not come back at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * fastrand::f64())
}

/// Waits for something while every question is answered with [`AskError::Disconnected`].
async fn meanwhile<T>(asked: &mut Asked, wanted: impl Future<Output = T>) -> T {
    let mut wanted = std::pin::pin!(wanted);
    loop {
        tokio::select! {
            biased;
            done = &mut wanted => return done,
            Some(question) = asked.asks.recv() => {
                // Who asked may have gone.
                let _ = question.reply.send(Err(AskError::Disconnected));
            }
        }
    }
}

fn note(asked: &Asked, epoch: u32, ready: bool, trouble: String) {
    asked.standing.send_replace(Standing {
        ready,
        epoch,
        trouble,
    });
}

struct Connection {
    start: Instant,
    exchange: Exchange,
    replies: Replies,
    was_ready: bool,
}

impl Connection {
    /// Drives one connection to its end.
    async fn drive(
        &mut self,
        mut endpoint: Endpoint,
        asked: &mut Asked,
        feed: &impl Fn(FeedInput),
    ) -> Over {
        loop {
            self.hand_out(&endpoint, asked, feed);
            if let Some(over) = self.exchange.over() {
                return over.clone();
            }
            let due = self.exchange.poll_timeout().map(|at| self.start + at);
            tokio::select! {
                biased;
                event = endpoint.events.recv() => match event {
                    Some(event) => {
                        self.exchange.handle_link(self.start.elapsed(), event);
                        for _ in 1..MAX_BATCH {
                            let Ok(event) = endpoint.events.try_recv() else { break };
                            self.exchange.handle_link(self.start.elapsed(), event);
                        }
                    }
                    None => self.exchange.end(Over::LinkStuck),
                },
                Some(question) = asked.asks.recv() => {
                    self.take(question);
                    for _ in 1..MAX_BATCH {
                        let Ok(question) = asked.asks.try_recv() else { break };
                        self.take(question);
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.exchange.handle_timeout(self.start.elapsed());
                }
            }
        }
    }

    fn take(&mut self, question: Question) {
        let Question {
            token,
            idempotency,
            ask,
            reply,
        } = question;
        let now = self.start.elapsed();
        match self.exchange.handle_ask(now, token, idempotency, ask) {
            Ok(id) => {
                self.replies.insert(id, reply);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// Hands on everything that the exchange has for others.
    fn hand_out(&mut self, endpoint: &Endpoint, asked: &Asked, feed: &impl Fn(FeedInput)) {
        while let Some(command) = self.exchange.poll_transmit() {
            if endpoint.commands.try_send(command).is_err() {
                self.exchange.end(Over::LinkStuck);
            }
        }
        if let Some(tokens) = self.exchange.poll_tokens() {
            asked.tokens.send_replace(Some(tokens.tokens.into()));
        }
        while let Some(input) = self.exchange.poll_feed() {
            if let FeedInput::Connected { epoch } = input {
                self.was_ready = true;
                info!(epoch, "connected to the orchestrator");
                note(asked, epoch, true, String::new());
            }
            feed(input);
        }
        while let Some((id, answer)) = self.exchange.poll_answer() {
            if let Some(reply) = self.replies.remove(&id) {
                let _ = reply.send(answer);
            }
        }
    }
}
