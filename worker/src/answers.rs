//! What a dispatch is still owed: one answer for each of its partitions, then its views and
//! checkpoints, so that nothing of lower priority goes before a result.

use std::collections::BTreeMap;

use transport::frame::Frame;
use transport::link::{Class, LinkCommand, PeerId, Transmit};

/// Names a dispatch, and the streams of its answers. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DispatchId(pub(crate) u64);

/// Dispatches with work that is not answered. Bounded by the work that may wait, for an empty
/// dispatch is never in here.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    open: BTreeMap<DispatchId, Owed>,
    next: u64,
}

#[derive(Debug)]
struct Owed {
    peer: PeerId,
    answers: usize,
    views: Vec<Frame>,
    checkpoints: Vec<Frame>,
}

impl Answers {
    /// A new dispatch that is owed this many answers.
    pub(crate) fn begin(&mut self, peer: PeerId, answers: usize) -> DispatchId {
        assert!(answers > 0, "a dispatch without work is owed nothing");
        let id = DispatchId(self.next);
        self.next += 1;
        let owed = Owed {
            peer,
            answers,
            views: Vec::new(),
            checkpoints: Vec::new(),
        };
        self.open.insert(id, owed);
        id
    }

    /// Keeps frames that go out behind the dispatch's last answer.
    pub(crate) fn keep(&mut self, id: DispatchId, view: Option<Frame>, checkpoints: Vec<Frame>) {
        if let Some(owed) = self.open.get_mut(&id) {
            owed.views.extend(view);
            owed.checkpoints.extend(checkpoints);
        }
    }

    /// One answer: it goes out at once, and with the last one everything that was kept.
    pub(crate) fn answer(
        &mut self,
        id: DispatchId,
        frame: Frame,
        send: &mut impl FnMut(LinkCommand),
    ) {
        let Some(owed) = self.open.get_mut(&id) else {
            return;
        };
        owed.answers -= 1;
        let (peer, last) = (owed.peer, owed.answers == 0);
        send(transmit(peer, Class::Tick, id, frame, last));
        if !last {
            return;
        }
        let owed = self.open.remove(&id).expect("found above");
        for (class, frames) in [
            (Class::View, owed.views),
            (Class::Checkpoint, owed.checkpoints),
        ] {
            let count = frames.len();
            for (n, frame) in (1..).zip(frames) {
                send(transmit(peer, class, id, frame, n == count));
            }
        }
    }

    /// The connection is gone, and with it what was owed there.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// Whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

fn transmit(peer: PeerId, class: Class, id: DispatchId, frame: Frame, last: bool) -> LinkCommand {
    LinkCommand::Transmit(Transmit {
        peer,
        class,
        group: id.0,
        frame,
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::header::{Header, Kind};

    const PEER: PeerId = PeerId(7);

    fn frame(kind: Kind) -> Frame {
        Frame::bare(Header::new(kind))
    }

    fn sent(answers: &mut Answers, id: DispatchId) -> Vec<(Class, u64, Kind, bool)> {
        let mut out = Vec::new();
        answers.answer(id, frame(Kind::Result), &mut |command| match command {
            LinkCommand::Transmit(t) => out.push((t.class, t.group, t.frame.header.kind, t.last)),
            LinkCommand::Disconnect { .. } => panic!("nothing ends here"),
        });
        out
    }

    #[test]
    fn views_and_checkpoints_follow_the_last_answer() {
        let mut answers = Answers::default();
        let other = answers.begin(PEER, 1);
        let id = answers.begin(PEER, 2);
        answers.keep(
            id,
            Some(frame(Kind::View)),
            vec![frame(Kind::Checkpoint); 2],
        );
        assert_eq!(
            sent(&mut answers, id),
            [(Class::Tick, 1, Kind::Result, false)]
        );
        assert_eq!(
            sent(&mut answers, id),
            [
                (Class::Tick, 1, Kind::Result, true),
                (Class::View, 1, Kind::View, true),
                (Class::Checkpoint, 1, Kind::Checkpoint, false),
                (Class::Checkpoint, 1, Kind::Checkpoint, true),
            ]
        );
        assert_eq!(sent(&mut answers, id), [], "nothing is owed twice");
        assert!(!answers.is_empty());
        assert_eq!(
            sent(&mut answers, other),
            [(Class::Tick, 0, Kind::Result, true)]
        );
        assert!(answers.is_empty());
    }
}
