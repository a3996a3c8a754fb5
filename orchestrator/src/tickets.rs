//! Tickets for streams: each is redeemed once, soon, or never.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use transport::control::Access;

use crate::limits::{MAX_TICKETS, TICKET_LIFE};

/// SHA-256 of a ticket's secret.
type Secret = [u8; 32];

/// Whose a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The token that it was issued to; 0 for a local user.
    pub(crate) token: u64,
    /// What it allows.
    pub(crate) access: Access,
}

/// Tickets that were issued and not redeemed.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// By secret: whose it is, and when it ends.
    valid: BTreeMap<Secret, (Holder, Duration)>,
    /// In the order they end; those that were redeemed too.
    ends: VecDeque<(Duration, Secret)>,
}

impl Tickets {
    /// Issues one; `false` where [`MAX_TICKETS`] wait.
    pub(crate) fn issue(&mut self, now: Duration, secret: Secret, holder: Holder) -> bool {
        while let Some((end, secret)) = self.ends.front().copied().filter(|(end, _)| *end <= now) {
            self.ends.pop_front();
            if self.valid.get(&secret).is_some_and(|(_, e)| *e == end) {
                self.valid.remove(&secret);
            }
        }
        if self.ends.len() >= MAX_TICKETS {
            return false;
        }
        let end = now + TICKET_LIFE;
        self.valid.insert(secret, (holder, end));
        self.ends.push_back((end, secret));
        true
    }

    /// Redeems one; `None` where it is unknown, used or too old.
    pub(crate) fn redeem(&mut self, now: Duration, secret: &Secret) -> Option<Holder> {
        let (holder, end) = self.valid.remove(secret)?;
        (now < end).then_some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: Holder = Holder {
        token: 4,
        access: Access::Viewer,
    };

    #[test]
    fn a_ticket_is_redeemed_once_and_soon() {
        let mut tickets = Tickets::default();
        let s = Duration::from_secs(1);
        assert!(tickets.issue(s, [1; 32], HOLDER));
        assert_eq!(tickets.redeem(s, &[2; 32]), None);
        assert_eq!(tickets.redeem(s, &[1; 32]), Some(HOLDER));
        assert_eq!(tickets.redeem(s, &[1; 32]), None, "it is used");
        assert!(tickets.issue(s, [3; 32], HOLDER));
        assert_eq!(tickets.redeem(s + TICKET_LIFE, &[3; 32]), None, "too late");
    }

    #[test]
    fn no_more_wait_than_named_and_the_old_ones_make_room() {
        let mut tickets = Tickets::default();
        let secret = |n: usize| {
            let mut secret = [0; 32];
            secret[..8].copy_from_slice(&n.to_le_bytes());
            secret
        };
        for n in 0..MAX_TICKETS {
            assert!(tickets.issue(Duration::ZERO, secret(n), HOLDER));
        }
        assert!(!tickets.issue(Duration::ZERO, [9; 32], HOLDER));
        assert!(tickets.issue(TICKET_LIFE, [9; 32], HOLDER));
        assert_eq!(tickets.valid.len(), 1);
    }
}
