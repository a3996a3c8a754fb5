//! Which gateways there are, whether they live, and how much each has asked that is not answered.

use std::collections::BTreeMap;
use std::time::Duration;

use transport::link::PeerId;

use crate::limits::{MAX_GATEWAY_REQUESTS, MIN_PATIENCE};

/// A registered gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// Its number in logs and metrics. Never used again.
    pub(crate) id: u32,
    pub(crate) name: String,
    last_heard: Duration,
    /// It does not count as silent before this, for this side did not listen.
    silent_from: Duration,
    /// Requests without an answer.
    requests: usize,
}

impl Gateway {
    fn silent_at(&self, timeout: Duration) -> Duration {
        (self.last_heard + timeout).max(self.silent_from)
    }
}

/// The gateways, by connection.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    by_peer: BTreeMap<PeerId, Gateway>,
    last_id: u32,
}

impl Gateways {
    /// Adds one that was let in; answers its number.
    pub(crate) fn add(&mut self, now: Duration, peer: PeerId, name: String) -> u32 {
        self.last_id += 1;
        let gateway = Gateway {
            id: self.last_id,
            name,
            last_heard: now,
            silent_from: Duration::ZERO,
            requests: 0,
        };
        self.by_peer.insert(peer, gateway);
        self.last_id
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, peer: PeerId) -> Option<Gateway> {
        self.by_peer.remove(&peer)
    }

    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.by_peer.contains_key(&peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_peer.len()
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.by_peer.keys().copied()
    }

    /// One was heard.
    pub(crate) fn heard(&mut self, now: Duration, peer: PeerId) {
        if let Some(gateway) = self.by_peer.get_mut(&peer) {
            gateway.last_heard = now;
        }
    }

    /// One asks something; `false` where it waits for so many answers already that it may not wait for
    /// another. An answer is due in either case.
    pub(crate) fn asks(&mut self, peer: PeerId) -> bool {
        let Some(gateway) = self.by_peer.get_mut(&peer) else {
            return false;
        };
        gateway.requests += 1;
        gateway.requests <= MAX_GATEWAY_REQUESTS
    }

    /// One is answered; `false` where it is gone.
    pub(crate) fn answered(&mut self, peer: PeerId) -> bool {
        let Some(gateway) = self.by_peer.get_mut(&peer) else {
            return false;
        };
        gateway.requests -= 1;
        true
    }

    /// This side was late by `late`: what they said meanwhile may still wait to be heard.
    pub(crate) fn excuse(&mut self, now: Duration, late: Duration, timeout: Duration) {
        for gateway in self.by_peer.values_mut() {
            gateway.silent_from = (gateway.silent_at(timeout) + late).max(now + MIN_PATIENCE);
        }
    }

    /// Gateways that were not heard for `timeout`.
    pub(crate) fn silent(&self, now: Duration, timeout: Duration) -> Vec<PeerId> {
        let silent = self
            .by_peer
            .iter()
            .filter(|(_, g)| g.silent_at(timeout) <= now);
        silent.map(|(peer, _)| *peer).collect()
    }

    /// When [`Gateways::silent`] may answer something new.
    pub(crate) fn next_timeout(&self, timeout: Duration) -> Option<Duration> {
        self.by_peer.values().map(|g| g.silent_at(timeout)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_gateway_may_ask_so_much_at_once_and_more_once_it_is_answered() {
        let mut gateways = Gateways::default();
        let peer = PeerId(3);
        assert!(!gateways.asks(peer), "it is not known");
        gateways.add(S, peer, "g".to_owned());
        for _ in 0..MAX_GATEWAY_REQUESTS {
            assert!(gateways.asks(peer));
        }
        assert!(!gateways.asks(peer));
        assert!(gateways.answered(peer) && gateways.answered(peer));
        assert!(gateways.asks(peer));
        gateways.remove(peer);
        assert!(!gateways.answered(peer));
    }

    #[test]
    fn one_that_says_nothing_is_silent_unless_it_was_not_listened_to() {
        let mut gateways = Gateways::default();
        assert_eq!(gateways.add(S, PeerId(3), "g".to_owned()), 1);
        assert_eq!(gateways.add(S, PeerId(4), "h".to_owned()), 2);
        gateways.heard(3 * S, PeerId(4));
        assert_eq!(gateways.next_timeout(5 * S), Some(6 * S));
        assert_eq!(gateways.silent(6 * S, 5 * S), [PeerId(3)]);
        gateways.excuse(6 * S, 2 * S, 5 * S);
        assert!(gateways.silent(7 * S, 5 * S).is_empty());
        assert_eq!(gateways.silent(8 * S, 5 * S), [PeerId(3)]);
    }
}
