//! Every state that the kernel reaches is accepted by its own readers: checkpoints of it by
//! [`Partition::restore`], letters of it by the other parts of its site.
//!
//! `AUTOFARM_REACH_TIMES` makes the random runs so many times as long, and `AUTOFARM_REACH_SEED` makes
//! them others; as they stand they take seconds.

use bumpalo::Bump;
use kernel::command::{Action, Command, Component};
use kernel::config::{Scenario, SimulationConfig};
use kernel::layout::{Fence, Point};
use kernel::mail::Letter;
use kernel::message::Body;
use kernel::philox::philox4x32;
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};

/// Ticks between two looks at a random run.
const LOOK_EVERY: u32 = 5;

/// All partitions of a farm, and the letters of the last tick: to, words.
struct Run {
    plan: Plan,
    partitions: Vec<Partition>,
    mail: Vec<(u32, Vec<u32>)>,
    bump: Bump,
}

impl Run {
    fn new(scenario: Scenario, entities: u32, partition_rows: u32, tick_ms: u32, seed: u64) -> Run {
        let plan = Plan::new(&SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms,
            seed,
            partition_rows,
        })
        .expect("valid");
        let partitions = (0..plan.partitions.len() as u32)
            .map(|index| Partition::create(&plan, index))
            .collect();
        let mut run = Run {
            plan,
            partitions,
            mail: Vec::new(),
            bump: Bump::new(),
        };
        run.collect_mail();
        run
    }

    fn step(&mut self, commands: &[Command]) {
        for partition in &mut self.partitions {
            let index = partition.index();
            let mail: Vec<&[u32]> = (self.mail.iter())
                .filter(|(to, _)| *to == index)
                .map(|(_, words)| &words[..])
                .collect();
            let commands: Vec<_> = (commands.iter().copied())
                .filter(|c| self.plan.machines_of(c, index).is_some())
                .collect();
            let inputs = StepInputs {
                commands: &commands,
                mail: &mail,
            };
            self.bump.reset();
            let stepped = partition.step(&inputs, &self.bump);
            assert_eq!(stepped, Ok(()), "tick {}", partition.tick());
        }
        self.collect_mail();
    }

    fn collect_mail(&mut self) {
        self.mail.clear();
        for partition in &self.partitions {
            let letters = partition.outbox();
            self.mail
                .extend(letters.map(|(to, words)| (to, words.to_vec())));
        }
    }

    /// Every partition's checkpoint is read back, and is the same state.
    fn read_back(&self) {
        for partition in &self.partitions {
            let mut bytes = Vec::new();
            partition.checkpoint(&mut bytes);
            match Partition::restore(&self.plan, partition.index(), &bytes) {
                Ok(restored) => assert_eq!(restored.digest(), partition.digest()),
                Err(e) => panic!("tick {}: {e}", partition.tick()),
            }
        }
    }

    /// Machines that the parts of a cut site show each other.
    fn ghosts(&self) -> impl Iterator<Item = Body> {
        let letter = |words| Letter::read(words).expect("own");
        (self.mail.iter()).flat_map(move |(_, words)| letter(words).ghosts())
    }

    /// The least box that all machines stand in.
    fn bounds(&self) -> Fence {
        let mut all: Option<Fence> = None;
        for partition in &self.partitions {
            let mut blocks = vec![Default::default(); partition.view_blocks() as usize];
            let mut records = vec![[0; 8]; partition.rows() as usize];
            partition.write_view(&mut blocks, &mut records);
            for block in &blocks {
                let around = all.unwrap_or(Fence {
                    low: Point {
                        x: block.x0,
                        y: block.y0,
                    },
                    high: Point {
                        x: block.x1,
                        y: block.y1,
                    },
                });
                all = Some(Fence {
                    low: Point {
                        x: around.low.x.min(block.x0),
                        y: around.low.y.min(block.y0),
                    },
                    high: Point {
                        x: around.high.x.max(block.x1),
                        y: around.high.y.max(block.y1),
                    },
                });
            }
        }
        all.expect("machines")
    }

    /// Nobody is kept from going on by the fence.
    fn keeps_off_the_fence(&self) {
        let (fence, all) = (self.plan.farm.layout.fence(), self.bounds());
        let clear = all.low.x > fence.low.x
            && all.low.y > fence.low.y
            && all.high.x < fence.high.x
            && all.high.y < fence.high.y;
        assert!(clear, "{all:?} of {fence:?}");
    }
}

/// The last swath of the easternmost fields lies half a pitch from the site's edge, and a tractor's turn
/// into it swings out by more than that.
#[test]
fn a_tractor_that_turns_beyond_the_edge_of_its_site_is_read_back() {
    for partition_rows in [4_096, 8] {
        let mut run = Run::new(Scenario::Dense, 40, partition_rows, 50, 7);
        let edge = run.plan.farm.layout.far_corner().x;
        let (mut ticks, mut ticks_beyond, mut ghosts_beyond) = (0, 0, 0);
        while ticks_beyond < 40 || (run.partitions.len() > 1 && ghosts_beyond == 0) {
            run.step(&[]);
            ticks += 1;
            assert!(ticks < 20_000, "nobody turns there");
            if run.bounds().high.x > edge {
                ticks_beyond += 1;
                ghosts_beyond += run.ghosts().filter(|ghost| ghost.x > edge).count();
                run.read_back();
                run.keeps_off_the_fence();
            }
        }
    }
}

/// Ticks after which all that machines were told is over, and of those, the ones in which they are told
/// anything: a farm that is never left to its work does not get to its far swaths.
const BOUT: u32 = 500;
const TOLD: u32 = 200;

/// The commands of a tick of a random run.
fn commands(plan: &Plan, seed: u32, tick: u32, between: u32) -> Vec<Command> {
    let seq = u64::from(tick);
    match tick % BOUT {
        TOLD => vec![
            Command::for_all(seq, Action::Release),
            Command::for_all(seq, Action::SetSpeedLimit { mm_per_s: 0 }),
        ],
        ..TOLD if tick.is_multiple_of(between) => vec![any_command(plan, seed, tick)],
        _ => vec![],
    }
}

/// A command of any kind for any machine, and now and then for all; places as often at the edges and
/// corners of the site as anywhere.
fn any_command(plan: &Plan, seed: u32, tick: u32) -> Command {
    let [kind, whom, a, b] = philox4x32([tick, 0, 0, 0], [seed, 1]);
    let (low, high) = (plan.farm.layout.origin(), plan.farm.layout.far_corner());
    let place = |draw: u32, low: i32, high: i32| {
        let [low, high] = [low, high].map(|at| (i64::from(at) * 1_000 / 65_536) as i32);
        match draw % 4 {
            0 => low,
            1 => high,
            _ => low + (draw / 4 % (high - low).cast_unsigned()).cast_signed(),
        }
    };
    let action = match kind % 10 {
        0 => Action::Hold,
        1..=3 => Action::Release,
        4 => Action::ReturnToCharger,
        5 => Action::SetSpeedLimit {
            mm_per_s: [0, 0, 0, 1, 700, i32::MAX][a as usize % 6],
        },
        6 | 7 => Action::InjectFault {
            component: [Component::Drive, Component::Battery][b as usize % 2],
            for_ms: 1 + (a % 4_000).cast_signed(),
        },
        _ => Action::Goto {
            x_mm: place(a, low.x, high.x),
            y_mm: place(b, low.y, high.y),
        },
    };
    let seq = u64::from(tick);
    match kind >> 22 {
        0 => Command::for_all(seq, action),
        _ => Command::new(seq, 1 + whom % plan.farm.config.entities, action),
    }
}

#[test]
fn whatever_machines_are_told_what_they_come_to_is_read_back() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse().expect("a number"))
    };
    let times: u32 = number("AUTOFARM_REACH_TIMES").unwrap_or(1);
    let first_seed: u32 = number("AUTOFARM_REACH_SEED").unwrap_or(7);
    // Machines, rows of a partition, ms of a tick, ticks, and ticks between two commands.
    for (seed, (scenario, [entities, partition_rows, tick_ms, ticks, between])) in (first_seed..)
        .zip([
            (Scenario::Dense, [640, 4_096, 20, 1_000, 4]),
            (Scenario::Dense, [640, 97, 50, 1_000, 3]),
            (Scenario::Dense, [40, 4_096, 280, 5_000, 10]),
            (Scenario::Dense, [40, 8, 200, 5_000, 10]),
            (Scenario::Dense, [1, 8, 50, 5_000, 50]),
            (Scenario::Weeding, [30, 16, 1_000, 1_000, 10]),
            (Scenario::Weeding, [120, 4_096, 20, 1_000, 5]),
        ])
    {
        let mut run = Run::new(scenario, entities, partition_rows, tick_ms, seed.into());
        for tick in 1..=times * ticks {
            run.step(&commands(&run.plan, seed, tick, between));
            if tick.is_multiple_of(LOOK_EVERY) {
                run.read_back();
                run.keeps_off_the_fence();
            }
        }
    }
}
