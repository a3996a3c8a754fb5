//! What brings a lost partition back: its last checkpoint, and every input since.

use std::collections::VecDeque;

use transport::frame::Frame;
use transport::message::{Mail, StampedCommand};

use crate::limits::{MAX_HISTORY_BYTES, SOFT_HISTORY_BYTES};

/// Bytes a command takes in a frame.
const COMMAND_BYTES: usize = size_of::<StampedCommand>();
/// Bytes a message takes in a frame beside its words.
const MAIL_BYTES: usize = 32;

/// A partition's last checkpoint and its inputs since.
///
/// Invariant: every input of the ticks `base_tick() + 1 ..=` the last one dispatched is in here, in
/// order of (tick, seq) and (tick, from); none of an earlier tick is.
#[derive(Debug, Default)]
pub struct History {
    /// Checkpoint of a complete tick; `None` while creation is the base.
    checkpoint: Option<(u64, Frame)>,
    /// A checkpoint of a tick that is not complete yet, or after one that is being verified.
    pending: Option<(u64, Frame)>,
    commands: VecDeque<StampedCommand>,
    mail: VecDeque<Mail>,
    input_bytes: usize,
}

/// Inputs lent to a frame that is being encoded.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Commands, by (tick, seq).
    pub commands: Vec<StampedCommand>,
    /// Messages, by (tick, from).
    pub mail: Vec<Mail>,
}

impl History {
    /// Begins with a checkpoint, and no inputs since.
    #[must_use]
    pub fn based(tick: u64, checkpoint: Frame) -> History {
        History {
            checkpoint: Some((tick, checkpoint)),
            ..History::default()
        }
    }

    /// Tick of the state that a replay begins with; 0 for creation.
    #[must_use]
    pub fn base_tick(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |(tick, _)| *tick)
    }

    /// The checkpoint a replay begins with; `None` where it begins with creation.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Frame> {
        self.checkpoint.as_ref().map(|(_, frame)| frame)
    }

    /// Bytes of inputs.
    #[must_use]
    pub fn input_bytes(&self) -> usize {
        self.input_bytes
    }

    /// Bytes of checkpoints.
    #[must_use]
    pub fn checkpoint_bytes(&self) -> usize {
        [&self.checkpoint, &self.pending]
            .into_iter()
            .flatten()
            .map(|(_, frame)| frame.payload().len())
            .sum()
    }

    /// Whether a checkpoint should be asked for, whatever its interval.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.input_bytes >= SOFT_HISTORY_BYTES
    }

    /// Whether no further input may be added before a checkpoint has come.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.input_bytes >= MAX_HISTORY_BYTES
    }

    /// Adds a command of a tick that is being dispatched.
    pub fn push_command(&mut self, command: StampedCommand) {
        debug_assert!(self.commands.back().is_none_or(|c| c.tick <= command.tick));
        self.input_bytes += COMMAND_BYTES;
        self.commands.push_back(command);
    }

    /// Adds a message of a tick that is being dispatched.
    pub fn push_mail(&mut self, mail: Mail) {
        debug_assert!(
            self.mail
                .back()
                .is_none_or(|m| (m.tick, m.from) < (mail.tick, mail.from)),
            "mail out of order"
        );
        self.input_bytes += mail_bytes(&mail);
        self.mail.push_back(mail);
    }

    /// Lends the inputs from tick `first` on; [`History::give_back`] must follow.
    pub fn lend(&mut self, first: u64) -> Inputs {
        let commands = self.commands.partition_point(|c| c.tick < first);
        let mail = self.mail.partition_point(|m| m.tick < first);
        Inputs {
            commands: self.commands.iter().skip(commands).copied().collect(),
            mail: self.mail.split_off(mail).into(),
        }
    }

    /// Takes back what [`History::lend`] gave.
    pub fn give_back(&mut self, mail: Vec<Mail>) {
        self.mail.extend(mail);
    }

    /// The inputs of one tick, copied for a verification.
    #[must_use]
    pub fn inputs_of(&self, tick: u64) -> Inputs {
        Inputs {
            commands: self
                .commands
                .iter()
                .filter(|c| c.tick == tick)
                .copied()
                .collect(),
            mail: self
                .mail
                .iter()
                .filter(|m| m.tick == tick)
                .cloned()
                .collect(),
        }
    }

    /// Keeps a checkpoint that came; it becomes the base once it is `trusted`, as in
    /// [`History::settle`]. Answers whether it is newer than what was there.
    pub fn offer(&mut self, tick: u64, frame: Frame, trusted: u64) -> bool {
        let newest = self
            .pending
            .as_ref()
            .map_or(self.base_tick(), |(tick, _)| *tick);
        if tick <= newest {
            return false;
        }
        self.pending = Some((tick, frame));
        self.settle(trusted);
        true
    }

    /// Ticks up to `trusted` are complete, and no step of them is being verified: a pending checkpoint
    /// of one of them becomes the base, and the inputs before it are dropped.
    pub fn settle(&mut self, trusted: u64) {
        let Some((tick, frame)) = self.pending.take_if(|(tick, _)| *tick <= trusted) else {
            return;
        };
        self.checkpoint = Some((tick, frame));
        let commands = self.commands.partition_point(|c| c.tick <= tick);
        let mail = self.mail.partition_point(|m| m.tick <= tick);
        self.input_bytes -= commands * COMMAND_BYTES;
        self.input_bytes -= self
            .mail
            .drain(..mail)
            .map(|m| mail_bytes(&m))
            .sum::<usize>();
        self.commands.drain(..commands);
    }

    /// Forgets a checkpoint that is no base yet: the worker that made it is not trusted.
    pub fn drop_pending(&mut self) {
        self.pending = None;
    }
}

/// Bytes a message takes in a frame.
#[must_use]
pub fn mail_bytes(mail: &Mail) -> usize {
    MAIL_BYTES + size_of_val(&mail.words[..])
}

/// Bytes that inputs take in a frame.
#[must_use]
pub fn inputs_bytes(inputs: &Inputs) -> usize {
    inputs.commands.len() * COMMAND_BYTES + inputs.mail.iter().map(mail_bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::checkpoint_frame;
    use kernel::command::{Action, Command};

    fn command(tick: u64, seq: u64) -> StampedCommand {
        StampedCommand {
            tick,
            command: Command::new(seq, 1, Action::Hold),
        }
    }

    fn mail(tick: u64, from: u32) -> Mail {
        Mail {
            tick,
            from,
            to: 9,
            words: vec![1, 2, 3],
        }
    }

    fn filled() -> History {
        let mut history = History::default();
        for tick in 1..=4 {
            history.push_command(command(tick, tick));
            history.push_mail(mail(tick, 1));
            history.push_mail(mail(tick, 2));
        }
        history
    }

    #[test]
    fn lending_and_giving_back_changes_nothing() {
        let mut history = filled();
        let bytes = history.input_bytes();
        let inputs = history.lend(3);
        assert_eq!(inputs.commands, vec![command(3, 3), command(4, 4)]);
        assert_eq!(
            inputs.mail,
            vec![mail(3, 1), mail(3, 2), mail(4, 1), mail(4, 2)]
        );
        history.give_back(inputs.mail);
        assert_eq!(history.input_bytes(), bytes);
        assert_eq!(history.lend(1).mail.len(), 8);
    }

    #[test]
    fn a_checkpoint_of_a_tick_under_way_waits() {
        let mut history = filled();
        assert!(history.offer(3, checkpoint_frame(3), 2));
        assert_eq!(history.base_tick(), 0);
        history.settle(3);
        assert_eq!(history.base_tick(), 3);
        assert_eq!(history.lend(1).commands, vec![command(4, 4)]);
    }

    #[test]
    fn an_older_checkpoint_is_refused() {
        let mut history = filled();
        assert!(history.offer(3, checkpoint_frame(3), 4));
        assert!(!history.offer(2, checkpoint_frame(2), 4));
        assert_eq!(history.base_tick(), 3);
    }

    #[test]
    fn bytes_return_to_zero_once_all_is_covered() {
        let mut history = filled();
        history.offer(4, checkpoint_frame(4), 4);
        assert_eq!(history.input_bytes(), 0);
        assert!(history.checkpoint_bytes() > 0);
    }
}
