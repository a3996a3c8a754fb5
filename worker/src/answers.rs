//! What a dispatch is still owed: one answer for each of its partitions, then its views and
//! checkpoints, so that nothing of lower priority goes before a result.

use std::collections::BTreeMap;

use transport::frame::Frame;
use transport::link::{Class, LinkCommand, PeerId, Transmit};

/// Names a dispatch, and the streams of its answers. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DispatchId(pub(crate) u64);

/// Dispatches with work that is not answered, or that something is still to follow. Bounded by the work that may wait, for an empty
/// dispatch is never in here.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    open: BTreeMap<DispatchId, Owed>,
    next: u64,
    /// Stream of the next view or checkpoint.
    next_extra: u64,
}

#[derive(Debug)]
struct Owed {
    peer: PeerId,
    answers: usize,
    /// Answers that something follows, which has not come.
    follows: usize,
    /// What came before the last answer.
    kept: Vec<(Class, Frame)>,
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
            follows: 0,
            kept: Vec::new(),
        };
        self.open.insert(id, owed);
        id
    }

    /// One answer: it goes out at once, and with the last one everything that was kept. Where it
    /// `is_followed`, [`Answers::follow`] is owed as well.
    pub(crate) fn answer(
        &mut self,
        id: DispatchId,
        frame: Frame,
        is_followed: bool,
        send: &mut impl FnMut(LinkCommand),
    ) {
        let Some(owed) = self.open.get_mut(&id) else {
            return;
        };
        owed.answers -= 1;
        owed.follows += usize::from(is_followed);
        let last = owed.answers == 0;
        send(transmit(owed.peer, Class::Tick, id.0, frame, last));
        self.settle(id, send);
    }

    /// What follows an answer: it goes out once the dispatch has all its answers.
    pub(crate) fn follow(
        &mut self,
        id: DispatchId,
        view: Option<Frame>,
        checkpoints: Vec<Frame>,
        send: &mut impl FnMut(LinkCommand),
    ) {
        let Some(owed) = self.open.get_mut(&id) else {
            return;
        };
        owed.follows -= 1;
        owed.kept.extend(view.map(|frame| (Class::View, frame)));
        let checkpoints = checkpoints.into_iter();
        owed.kept
            .extend(checkpoints.map(|f| (Class::Checkpoint, f)));
        self.settle(id, send);
    }

    /// Sends what was kept once every answer is out, views first. Each frame has a stream of its own:
    /// none waits for one that is still being written.
    fn settle(&mut self, id: DispatchId, send: &mut impl FnMut(LinkCommand)) {
        let Some(owed) = self.open.get_mut(&id).filter(|owed| owed.answers == 0) else {
            return;
        };
        owed.kept.sort_by_key(|(class, _)| *class);
        for (class, frame) in owed.kept.drain(..) {
            send(transmit(owed.peer, class, self.next_extra, frame, true));
            self.next_extra += 1;
        }
        if owed.follows == 0 {
            self.open.remove(&id);
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

fn transmit(peer: PeerId, class: Class, group: u64, frame: Frame, last: bool) -> LinkCommand {
    LinkCommand::Transmit(Transmit {
        peer,
        class,
        group,
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

    type Sent = Vec<(Class, u64, bool)>;

    fn noted(sent: &mut Sent, command: LinkCommand) {
        match command {
            LinkCommand::Transmit(t) => sent.push((t.class, t.group, t.last)),
            LinkCommand::Disconnect { .. } => panic!("nothing ends here"),
        }
    }

    fn answer(answers: &mut Answers, id: DispatchId, is_followed: bool) -> Sent {
        let mut sent = Sent::new();
        let result = frame(Kind::Result);
        answers.answer(id, result, is_followed, &mut |c| noted(&mut sent, c));
        sent
    }

    fn follow(answers: &mut Answers, id: DispatchId, checkpoints: usize) -> Sent {
        let mut sent = Sent::new();
        let checkpoints = vec![frame(Kind::Checkpoint); checkpoints];
        let view = Some(frame(Kind::View));
        answers.follow(id, view, checkpoints, &mut |c| noted(&mut sent, c));
        sent
    }

    #[test]
    fn views_and_checkpoints_follow_the_last_answer() {
        let mut answers = Answers::default();
        let other = answers.begin(PEER, 1);
        let id = answers.begin(PEER, 3);
        assert_eq!(answer(&mut answers, id, true), [(Class::Tick, 1, false)]);
        assert_eq!(follow(&mut answers, id, 2), [], "two answers are owed");
        assert_eq!(answer(&mut answers, id, true), [(Class::Tick, 1, false)]);
        assert_eq!(
            answer(&mut answers, id, false),
            [
                (Class::Tick, 1, true),
                (Class::View, 0, true),
                (Class::Checkpoint, 1, true),
                (Class::Checkpoint, 2, true),
            ]
        );
        assert_eq!(
            follow(&mut answers, id, 1),
            [(Class::View, 3, true), (Class::Checkpoint, 4, true)],
            "nothing waits behind the last answer"
        );
        assert_eq!(answer(&mut answers, id, false), [], "nothing is owed twice");
        assert!(!answers.is_empty());
        assert_eq!(answer(&mut answers, other, true), [(Class::Tick, 0, true)]);
        assert!(!answers.is_empty(), "something follows");
        follow(&mut answers, other, 0);
        assert!(answers.is_empty());
    }
}
