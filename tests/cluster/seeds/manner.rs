//! What a process that is not a correct worker makes of what a correct one would send.

use std::collections::BTreeMap;

use transport::frame::{self, Frame};
use transport::header::{Header, Kind, SimulationId};
use transport::link::{LinkCommand, Transmit};
use transport::message::Register;
use transport::pool::FramePool;

/// Of its results, one in this many is cut short by [`Manner::Lies`].
const LIES_ONE_IN: u64 = 40;

/// How a process behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As a worker does.
    #[default]
    Correct,
    /// It says everything twice.
    Repeats,
    /// It goes on answering for what was taken from it.
    Clings,
    /// Its results say that they are longer than they are.
    Lies,
    /// It speaks a protocol of its own.
    Foreign,
}

/// A process's manner and what it remembers for it.
#[derive(Default)]
pub(crate) struct Behaviour {
    pub(crate) manner: Manner,
    /// Its last result of each partition.
    last: BTreeMap<(SimulationId, u32), Frame>,
    /// Those of partitions that were taken from it.
    lost: BTreeMap<(SimulationId, u32), Frame>,
    results: u64,
}

impl Behaviour {
    /// A frame came in.
    pub(crate) fn hears(&mut self, header: &Header) {
        if header.kind == Kind::Release {
            let key = (header.simulation, header.partition);
            self.lost.extend(self.last.remove(&key).map(|f| (key, f)));
        }
    }

    /// What goes out instead of a command.
    pub(crate) fn says(&mut self, command: LinkCommand) -> Vec<LinkCommand> {
        let LinkCommand::Transmit(transmit) = command else {
            return vec![command];
        };
        let kind = transmit.frame.header.kind;
        match (self.manner, kind) {
            (Manner::Repeats, kind) if kind != Kind::Register => again(&transmit),
            (Manner::Clings, Kind::Result) => self.cling(transmit),
            (Manner::Lies, Kind::Result) => {
                self.results += 1;
                let lies = self.results.is_multiple_of(LIES_ONE_IN);
                vec![send(if lies { cut_short(&transmit) } else { transmit })]
            }
            (Manner::Foreign, Kind::Register) => vec![send(foreign(&transmit))],
            _ => vec![send(transmit)],
        }
    }

    /// Beside the result, one of the same tick for everything that it lost.
    fn cling(&mut self, transmit: Transmit) -> Vec<LinkCommand> {
        let header = transmit.frame.header;
        let key = (header.simulation, header.partition);
        self.lost.remove(&key);
        self.last.insert(key, transmit.frame.clone());
        let mut commands = Vec::new();
        for ((id, _), frame) in &self.lost {
            if *id == header.simulation {
                let tick = header.tick;
                let frame = frame.with_header(Header {
                    tick,
                    ..frame.header
                });
                commands.push(send(Transmit {
                    frame,
                    last: false,
                    ..transmit.clone()
                }));
            }
        }
        commands.push(send(transmit));
        commands
    }
}

fn send(transmit: Transmit) -> LinkCommand {
    LinkCommand::Transmit(transmit)
}

fn again(transmit: &Transmit) -> Vec<LinkCommand> {
    let first = Transmit {
        last: false,
        ..transmit.clone()
    };
    vec![send(first), send(transmit.clone())]
}

fn cut_short(transmit: &Transmit) -> Transmit {
    let payload = transmit.frame.payload();
    let short = payload.slice(..payload.len() - 1);
    let frame = Frame::from_bytes(transmit.frame.header, short).expect("shorter than before");
    Transmit {
        frame,
        ..transmit.clone()
    }
}

fn foreign(transmit: &Transmit) -> Transmit {
    let register: Register = transmit.frame.decode().expect("just encoded");
    let register = Register {
        protocol_version: register.protocol_version + 1,
        ..register
    };
    let pool = FramePool::new();
    let frame = frame::encode(&pool, transmit.frame.header, &register).expect("a short name");
    Transmit {
        frame,
        ..transmit.clone()
    }
}
