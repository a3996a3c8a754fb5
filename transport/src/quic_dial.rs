//! Keeps one connection to whichever of several hosts answers, and makes it anew after every loss.
//!
//! A host that is silent keeps nobody waiting: the next one is tried beside it after a moment, and the first
//! that answers is taken. One that answers may still turn away whoever connects, as an orchestrator does that
//! stands by; so the others are tried on until a connection has stood for a while, and a slow host is not
//! begun with anew whenever a quick one has refused. Names are looked up anew for each attempt, for what
//! they mean may come or change later. Nothing here knows what a connection is for.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Connection, ConnectionError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::identity::{Identity, role_name};
use crate::link::Role;
use crate::quic::{Arrival, QuicError};
use crate::quic_config::{self, Network};
use crate::quic_reason::explain;

/// How long a host is waited for before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Pause before the first retry, before it is jittered.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Longest pause between retries, before it is jittered.
const LAST_RETRY: Duration = Duration::from_secs(2);
/// A connection that lived as long as this was good: the attempts beside it are given up, and the next retry starts
/// from the first delay again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// Whom to connect to, and how.
pub(crate) struct Dialer {
    /// The socket that all connections are made from.
    pub(crate) quic: quinn::Endpoint,
    hosts: Vec<String>,
    expected: Role,
    ways: Ways,
}

/// How an address is connected to.
#[derive(Clone)]
struct Ways {
    network: Option<Network>,
    local: ClientConfig,
    routed: ClientConfig,
}

/// A host that did not answer, and why.
#[derive(Debug)]
struct Failure {
    host: String,
    reason: String,
}

/// How an attempt to keep a connection has ended.
enum End {
    /// It stood, and a role on either side closed it.
    Closed,
    /// The peer's successor says that it knows nothing of the connection, so it is there.
    StartedAnew,
    /// It never stood, or was lost.
    Failed(Vec<Failure>),
}

impl Dialer {
    /// # Errors
    /// [`QuicError`].
    ///
    /// # Panics
    /// If there is no host.
    pub(crate) fn new(
        hosts: &[String],
        identity: &Identity,
        expected: Role,
        network: Option<Network>,
    ) -> Result<Dialer, QuicError> {
        assert!(!hosts.is_empty(), "there is somebody to connect to");
        Ok(Dialer {
            quic: socket(hosts, network)?,
            hosts: hosts.to_vec(),
            expected,
            ways: Ways {
                network,
                local: quic_config::client(identity, Network::Local)?,
                routed: quic_config::client(identity, Network::Routed)?,
            },
        })
    }

    /// Dials until nobody takes what arrives.
    pub(crate) async fn run(self, arrivals: mpsc::Sender<Arrival>) {
        let mut race = Race::default();
        let mut failures = 0;
        let mut turn = 0;
        loop {
            let begun = Instant::now();
            let (host, end) = tokio::select! {
                reached = self.reach(&mut race, turn) => match reached {
                    Ok((host, connection)) => {
                        (host, self.stay(host, connection, &mut race, &arrivals).await)
                    }
                    Err(failed) => (turn, End::Failed(failed)),
                },
                () = arrivals.closed() => return,
            };
            if arrivals.is_closed() {
                return;
            }
            let is_there = matches!(end, End::StartedAnew);
            if begun.elapsed() >= GOOD_CONNECTION || is_there {
                failures = 0;
            }
            turn = (host + usize::from(!is_there)) % self.hosts.len();
            let pause = retry_pause(failures, fastrand::f64());
            failures += 1;
            self.say(host, end, pause);
            tokio::select! {
                () = sleep(pause) => {}
                () = arrivals.closed() => return,
            }
        }
    }

    fn say(&self, host: usize, end: End, pause: Duration) {
        let ((address, port), expected) = (split(&self.hosts[host]), self.expected);
        // A log in JSON has no number of 128 bits.
        let pause_ms = pause.as_millis() as u64;
        match end {
            // One side wanted it; that is in the log already, with its reason.
            End::Closed => info!(
                server.address = address,
                server.port = port,
                pause_ms,
                "connecting to the {expected} again"
            ),
            End::StartedAnew => {
                warn!(
                    server.address = address,
                    server.port = port,
                    pause_ms,
                    "the {expected} was started anew; connecting to it"
                );
            }
            End::Failed(failed) => {
                for Failure { host, reason } in failed {
                    let (address, port) = split(&host);
                    warn!(server.address = address, server.port = port, %reason, pause_ms, "no connection to the {expected}; trying again");
                }
            }
        }
    }

    /// Tries every host once that is not being tried already, beginning with the one whose turn it is. The place in the
    /// list of the one that answered comes with its connection.
    async fn reach(
        &self,
        race: &mut Race<Connection>,
        turn: usize,
    ) -> Result<(usize, Connection), Vec<Failure>> {
        let hosts = self.hosts.len();
        let attempts = (0..hosts).map(|nth| {
            let host = (turn + nth) % hosts;
            let (quic, ways) = (self.quic.clone(), self.ways.clone());
            let name = self.hosts[host].clone();
            (host, connect(quic, ways, name, self.expected))
        });
        race.first(attempts).await
    }

    /// Hands a connection over and stays until it ends. Once it is a good one, nobody else is tried any more.
    async fn stay(
        &self,
        host: usize,
        connection: Connection,
        race: &mut Race<Connection>,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> End {
        let watched = connection.clone();
        let role = self.expected;
        // Who takes nothing more is seen by whoever called.
        let _ = arrivals.send(Arrival { connection, role }).await;
        let ended = tokio::select! {
            ended = watched.closed() => ended,
            () = sleep(GOOD_CONNECTION) => {
                *race = Race::default();
                watched.closed().await
            }
        };
        match ended {
            ConnectionError::LocallyClosed | ConnectionError::ApplicationClosed(_) => End::Closed,
            ConnectionError::Reset => End::StartedAnew,
            other => End::Failed(vec![Failure {
                host: self.hosts[host].clone(),
                reason: explain(&other),
            }]),
        }
    }
}

impl Ways {
    fn to(&self, address: SocketAddr) -> ClientConfig {
        match self.network.unwrap_or_else(|| Network::of(address)) {
            Network::Local => self.local.clone(),
            Network::Routed => self.routed.clone(),
        }
    }
}

/// A socket from which all of the hosts can be reached, as far as is known before they are looked up.
fn socket(hosts: &[String], network: Option<Network>) -> Result<quinn::Endpoint, QuicError> {
    let literal = |host: &String| host.parse::<SocketAddr>().ok();
    // A name may turn out to be this machine's.
    let is_far = |host| literal(host).is_some_and(|at| Network::of(at) == Network::Routed);
    let widest = match hosts.iter().all(is_far) {
        true => Network::Routed,
        false => Network::Local,
    };
    let network = network.unwrap_or(widest);
    let bind = |any: SocketAddr| quic_config::bind(any, None, network);
    let v4 = ([0, 0, 0, 0], 0).into();
    if hosts
        .iter()
        .all(|host| literal(host).is_some_and(|at| at.is_ipv4()))
    {
        return bind(v4);
    }
    // A socket of IPv6 reaches IPv4 too, but not the other way round; and some machines have none.
    bind(([0u16; 8], 0).into()).or_else(|_| bind(v4))
}

/// Looks a host up, and connects to one of its addresses.
async fn connect(
    quic: quinn::Endpoint,
    ways: Ways,
    host: String,
    role: Role,
) -> Result<Connection, Vec<Failure>> {
    let failed = |reason: String| {
        let host = host.clone();
        vec![Failure { host, reason }]
    };
    let found = tokio::net::lookup_host(&host).await;
    let found = found.map_err(|error| failed(format!("{error}; HOST:PORT is looked up")))?;
    let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(failed("the name has no address".to_owned()));
    }
    let attempts = addresses.into_iter().enumerate().map(|(place, address)| {
        let (quic, client) = (quic.clone(), ways.to(address));
        let attempt = async move {
            let failed = |reason: String| {
                let host = address.to_string();
                vec![Failure { host, reason }]
            };
            let connecting = quic
                .connect_with(client, address, &role_name(role))
                .map_err(|error| failed(error.to_string()))?;
            connecting.await.map_err(|error| failed(explain(&error)))
        };
        (place, attempt)
    });
    let (_, connection) = Race::default().first(attempts).await?;
    Ok(connection)
}

/// Attempts under way, each known by a place. They go on when one of them has answered.
struct Race<T> {
    running: JoinSet<(usize, Result<T, Vec<Failure>>)>,
    places: BTreeSet<usize>,
}

impl<T> Default for Race<T> {
    fn default() -> Self {
        Race {
            running: JoinSet::new(),
            places: BTreeSet::new(),
        }
    }
}

impl<T: Send + 'static> Race<T> {
    /// Begins one attempt after the other, each [`HEAD_START`] after the one before, or when one has failed; those
    /// whose place has one under way are passed over. The first that succeeds is the answer, be it begun now or earlier.
    ///
    /// # Errors
    /// Why each failed, where all did.
    async fn first<F>(
        &mut self,
        attempts: impl Iterator<Item = (usize, F)>,
    ) -> Result<(usize, T), Vec<Failure>>
    where
        F: Future<Output = Result<T, Vec<Failure>>> + Send + 'static,
    {
        let mut waiting: VecDeque<(usize, F)> = attempts
            .filter(|(place, _)| !self.places.contains(place))
            .collect();
        let mut failures = Vec::new();
        loop {
            if let Some((place, attempt)) = waiting.pop_front() {
                self.places.insert(place);
                self.running.spawn(async move { (place, attempt.await) });
            }
            tokio::select! {
                Some(ended) = self.running.join_next() => match ended {
                    Ok((place, ended)) => {
                        self.places.remove(&place);
                        match ended {
                            Ok(answer) => return Ok((place, answer)),
                            Err(failed) => failures.extend(failed),
                        }
                    }
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
                () = sleep(HEAD_START), if !waiting.is_empty() => {}
                else => return Err(failures),
            }
        }
    }
}

/// How long to wait after so many failures in a row: doubled each time up to a limit, then spread from half
/// of it to half as much again by `jitter` in 0..1, so that workers do not come back all at once.
fn retry_pause(failures: u32, jitter: f64) -> Duration {
    let growth = 2u32.saturating_pow(failures);
    let pause = FIRST_RETRY.saturating_mul(growth).min(LAST_RETRY);
    pause.mul_f64(0.5 + jitter)
}

/// Name and port of HOST:PORT, as a log has them apart.
fn split(host: &str) -> (&str, Option<u16>) {
    let parts = host.rsplit_once(':');
    let port = |text: &str| text.parse().ok();
    parts.map_or((host, None), |(name, text)| {
        (name.trim_matches(['[', ']']), port(text))
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn failed(host: &str) -> Vec<Failure> {
        let (host, reason) = (host.to_owned(), "silent".to_owned());
        vec![Failure { host, reason }]
    }

    /// An attempt that takes so long, and fails or answers its name.
    async fn attempt(
        name: &'static str,
        takes: Duration,
        answers: bool,
    ) -> Result<&'static str, Vec<Failure>> {
        sleep(takes).await;
        answers.then_some(name).ok_or_else(|| failed(name))
    }

    const LONG: Duration = Duration::from_secs(4);
    const SHORT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn one_that_is_silent_costs_a_head_start_and_no_more() {
        let begun = tokio::time::Instant::now();
        let silent = ["a", "b"].map(|name| attempt(name, LONG, false));
        let attempts = silent.into_iter().chain([attempt("c", SHORT, true)]);
        let answer = Race::default().first(attempts.enumerate()).await;
        assert_eq!(answer.unwrap(), (2, "c"));
        assert_eq!(begun.elapsed(), 2 * HEAD_START + SHORT);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_followed_at_once_and_one_that_answers_by_none() {
        let begun = tokio::time::Instant::now();
        let attempts = [attempt("a", SHORT, false), attempt("b", SHORT, true)];
        let answer = Race::default()
            .first(attempts.into_iter().enumerate())
            .await;
        assert_eq!(answer.unwrap(), (1, "b"));
        assert_eq!(begun.elapsed(), 2 * SHORT);
        let needed_once = (0..2).map(|n| {
            let attempt = async move {
                assert_eq!(n, 0, "one that is not needed is not begun");
                attempt("a", SHORT, true).await
            };
            (n, attempt)
        });
        let answer = Race::default().first(needed_once).await;
        assert_eq!(answer.unwrap(), (0, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_fail_each_says_why() {
        let attempts = [attempt("a", LONG, false), attempt("b", SHORT, false)];
        let answer = Race::default()
            .first(attempts.into_iter().enumerate())
            .await;
        let failures = answer.unwrap_err();
        let named: Vec<&str> = failures.iter().map(|f| f.host.as_str()).collect();
        assert_eq!(named, ["b", "a"]);
        let hangs = [(0, pending::<Result<(), _>>())];
        let mut race = Race::default();
        let one_hangs = tokio::time::timeout(10 * LONG, race.first(hangs.into_iter()));
        assert!(one_hangs.await.is_err());
    }

    /// Who answers quickly and refuses once kept everybody from a slow one for ever.
    #[tokio::test(start_paused = true)]
    async fn a_slow_one_goes_on_while_a_quick_one_answers_again_and_again() {
        let begun = tokio::time::Instant::now();
        let mut race = Race::default();
        let mut quick = 0;
        loop {
            let both = [attempt("slow", LONG, true), attempt("quick", SHORT, true)];
            match race.first(both.into_iter().enumerate()).await.unwrap() {
                (1, "quick") => quick += 1,
                other => break assert_eq!(other, (0, "slow")),
            }
        }
        assert_eq!(begun.elapsed(), LONG);
        assert!(quick > 1, "{quick}");
    }

    #[test]
    fn retries_grow_to_a_limit_and_are_spread_around_it() {
        let ms = Duration::from_millis;
        for (failures, least, most) in [
            (0, 50, 150),
            (1, 100, 300),
            (4, 800, 2_400),
            (5, 1_000, 3_000),
            (40, 1_000, 3_000),
            (u32::MAX, 1_000, 3_000),
        ] {
            assert_eq!(retry_pause(failures, 0.0), ms(least));
            assert_eq!(retry_pause(failures, 1.0), ms(most));
            let drawn = retry_pause(failures, fastrand::f64());
            assert!((ms(least)..=ms(most)).contains(&drawn));
        }
    }
}
