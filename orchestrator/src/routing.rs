//! Mail between the parts of cut sites: from the results of tick t to the dispatch of t + 1. The
//! words are never looked into.

use kernel::plan::Plan;
use transport::message::Mail;

/// Mail that waits for the next tick, by the partition that reads it.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// For each partition the first of its site's parts and their number; `None` if its site is whole.
    sites: Vec<Option<(u32, u32)>>,
    inbox: Vec<Vec<Mail>>,
    mails: u64,
    bytes: u64,
}

/// What is wrong with the mail of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailFault {
    /// It names another sender than the partition that the result is of.
    #[error("mail of partition {from} in the result of another")]
    From {
        /// Named sender.
        from: u32,
    },
    /// It is for another tick than the next.
    #[error("mail for tick {tick}, which is not the next")]
    Tick {
        /// Named tick.
        tick: u64,
    },
    /// It is for a partition that is no other part of the same site.
    #[error("mail to partition {to}, which is no other part of the same site")]
    To {
        /// Named receiver.
        to: u32,
    },
    /// The parts of the site did not each get one.
    #[error("mail for {got} of {parts} other parts of the site")]
    Count {
        /// Different receivers, or mails if more.
        got: u32,
        /// Other parts.
        parts: u32,
    },
}

impl Routing {
    /// Empty routes of a plan.
    #[must_use]
    pub(crate) fn new(plan: &Plan) -> Routing {
        let sites: Vec<_> = plan
            .partitions
            .iter()
            .map(|p| p.cut.map(|cut| (cut.first_partition, cut.parts)))
            .collect();
        Routing {
            inbox: vec![Vec::new(); sites.len()],
            sites,
            mails: 0,
            bytes: 0,
        }
    }

    /// Checks the mail that `partition` emitted for tick `next`: one for each other part of its site.
    ///
    /// # Errors
    /// [`MailFault`] names the first thing that is wrong.
    pub(crate) fn check(&self, partition: u32, next: u64, mail: &[Mail]) -> Result<(), MailFault> {
        let (first, parts) = self.sites[partition as usize].unwrap_or((partition, 1));
        let others = parts - 1;
        let got = u32::try_from(mail.len()).unwrap_or(u32::MAX);
        if got != others {
            return Err(MailFault::Count { got, parts: others });
        }
        let mut reached: Vec<u32> = Vec::with_capacity(mail.len());
        for m in mail {
            if m.from != partition {
                return Err(MailFault::From { from: m.from });
            }
            if m.tick != next {
                return Err(MailFault::Tick { tick: m.tick });
            }
            if m.to == partition || !(first..first + parts).contains(&m.to) {
                return Err(MailFault::To { to: m.to });
            }
            reached.push(m.to);
        }
        reached.sort_unstable();
        reached.dedup();
        match u32::try_from(reached.len()).unwrap_or(u32::MAX) {
            got if got == others => Ok(()),
            got => Err(MailFault::Count { got, parts: others }),
        }
    }

    /// Takes in the checked mail of a complete tick, in the order of partitions that emitted it.
    pub(crate) fn post(&mut self, mail: Vec<Mail>) {
        for m in mail {
            self.mails += 1;
            self.bytes += size_of_val(&m.words[..]) as u64;
            self.inbox[m.to as usize].push(m);
        }
    }

    /// Hands out what waits for a partition, by sender.
    pub(crate) fn collect(&mut self, partition: u32) -> Vec<Mail> {
        std::mem::take(&mut self.inbox[partition as usize])
    }

    /// A copy of what waits, by (sender, receiver).
    pub(crate) fn posted(&self) -> Vec<Mail> {
        let mut posted: Vec<Mail> = self.inbox.iter().flatten().cloned().collect();
        posted.sort_by_key(|m| (m.from, m.to));
        posted
    }

    /// Drops everything but what was counted.
    pub(crate) fn shed(&mut self) {
        self.sites = Vec::new();
        self.inbox = Vec::new();
    }

    /// Mails and bytes of words routed so far.
    #[must_use]
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.mails, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::plan::{CutPart, PartitionPlan};

    /// A site in three parts and a whole one.
    fn routing() -> Routing {
        let part = |index, part| PartitionPlan {
            index,
            first_site: 0,
            sites: 1,
            rows: 8,
            cut: Some(CutPart {
                part,
                parts: 3,
                first_partition: 0,
            }),
        };
        let whole = PartitionPlan {
            index: 3,
            first_site: 1,
            sites: 1,
            rows: 8,
            cut: None,
        };
        let mut plan = Plan::new(&kernel::config::SimulationConfig {
            scenario: 1,
            entities: 8,
            tick_ms: 20,
            seed: 1,
            partition_rows: 8,
        })
        .unwrap();
        plan.partitions = vec![part(0, 0), part(1, 1), part(2, 2), whole];
        Routing::new(&plan)
    }

    fn mail(from: u32, to: u32) -> Mail {
        Mail {
            tick: 8,
            from,
            to,
            words: vec![from, to],
        }
    }

    #[test]
    fn each_part_reads_what_the_others_wrote_by_sender() {
        let mut routing = routing();
        for from in 0..3 {
            let sent: Vec<_> = (0..3)
                .filter(|&to| to != from)
                .map(|to| mail(from, to))
                .collect();
            assert_eq!(routing.check(from, 8, &sent), Ok(()));
            routing.post(sent);
        }
        assert_eq!(routing.collect(1), vec![mail(0, 1), mail(2, 1)]);
        assert_eq!(routing.collect(1), vec![]);
        assert_eq!(routing.totals(), (6, 48));
    }

    #[test]
    fn wrong_mail_is_named() {
        let r = routing();
        let wrong_tick = Mail {
            tick: 9,
            ..mail(0, 2)
        };
        assert_eq!(
            r.check(0, 8, &[mail(0, 1), wrong_tick]),
            Err(MailFault::Tick { tick: 9 })
        );
        assert_eq!(
            r.check(0, 8, &[mail(0, 1), mail(0, 3)]),
            Err(MailFault::To { to: 3 })
        );
        assert_eq!(
            r.check(0, 8, &[mail(0, 1), mail(1, 2)]),
            Err(MailFault::From { from: 1 })
        );
        assert_eq!(
            r.check(0, 8, &[mail(0, 1), mail(0, 1)]),
            Err(MailFault::Count { got: 1, parts: 2 })
        );
        assert_eq!(
            r.check(0, 8, &[mail(0, 1)]),
            Err(MailFault::Count { got: 1, parts: 2 })
        );
        assert_eq!(
            r.check(3, 8, &[mail(3, 0)]),
            Err(MailFault::Count { got: 1, parts: 0 })
        );
    }
}
