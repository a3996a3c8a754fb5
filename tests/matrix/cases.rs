//! The ways in which one farm is run, and how few of them hold every pair.

use std::fmt;

use kernel::isa::Isa;

/// A farm that every case of a set runs.
#[derive(Clone, Copy)]
pub(crate) struct Farm {
    pub(crate) entities: u32,
    pub(crate) ticks: u64,
}

impl Farm {
    pub(crate) const SMALL: Farm = Farm {
        entities: 640,
        ticks: 1_500,
    };
    pub(crate) const LARGE: Farm = Farm {
        entities: 5_000,
        ticks: 1_500,
    };
    const TICK_MS: u32 = 50;
    const COMMANDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dense-commands.jsonl");
}

/// One way of running it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) workers: u32,
    pub(crate) rows: u32,
    pub(crate) threads: u32,
    pub(crate) speed: &'static str,
    pub(crate) link: &'static str,
    pub(crate) isa: Isa,
    pub(crate) killed: bool,
}

const WORKERS: [u32; 3] = [1, 2, 3];
const ROWS: [u32; 3] = [16, 97, 4_096];
const THREADS: [u32; 2] = [1, 2];
const SPEEDS: [&str; 2] = ["max", "8"];
const LINKS: [&str; 2] = ["memory", "quic"];
const KILLED: [bool; 2] = [false, true];

impl Case {
    /// One partition on one thread, as plain as can be.
    pub(crate) const REFERENCE: Case = Case {
        workers: 1,
        rows: 65_536,
        threads: 1,
        speed: "max",
        link: "memory",
        isa: Isa::Scalar,
        killed: false,
    };
    /// How the large farm is run.
    pub(crate) const LARGE: Case = Case {
        workers: 3,
        rows: 97,
        threads: 1,
        speed: "max",
        link: "quic",
        isa: Isa::Sse2,
        killed: true,
    };

    /// Whether the farm's one site is cut.
    pub(crate) fn is_cut(&self, farm: Farm) -> bool {
        self.rows < farm.entities
    }

    /// The arguments of `autofarm` that run it.
    pub(crate) fn command_line(&self, farm: Farm, seed: u64) -> Vec<String> {
        let mut args: Vec<String> = vec!["run".into()];
        let mut flag = |name: &str, value: String| args.extend([name.to_owned(), value]);
        flag("--scenario", "dense".to_owned());
        flag("--entities", farm.entities.to_string());
        flag("--tick-ms", Farm::TICK_MS.to_string());
        flag("--ticks", farm.ticks.to_string());
        flag("--digest-every", "1".to_owned());
        flag("--commands", Farm::COMMANDS.to_owned());
        flag("--workers", self.workers.to_string());
        flag("--partition-rows", self.rows.to_string());
        flag("--threads", self.threads.to_string());
        flag("--speed", self.speed.to_owned());
        flag("--link", self.link.to_owned());
        flag("--isa", self.isa.name().to_owned());
        if self.killed {
            flag("--kill-at", self.kill_tick(farm, seed).to_string());
        }
        args
    }

    /// A tick drawn from the seed and the case, not too near to either end.
    fn kill_tick(&self, farm: Farm, seed: u64) -> u64 {
        let text = format!("{seed} {self}");
        // FNV-1a: all that is asked of it is that cases differ.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let margin = farm.ticks / 20;
        margin + hash % (farm.ticks - 2 * margin)
    }

    /// Its values, each tagged with its place.
    fn values(&self) -> [(usize, u32); 7] {
        let place =
            |of: &[&str], value| of.iter().position(|v| *v == value).expect("listed") as u32;
        [
            (0, self.workers),
            (1, self.rows),
            (2, self.threads),
            (3, place(&SPEEDS, self.speed)),
            (4, place(&LINKS, self.link)),
            (5, self.isa as u32),
            (6, u32::from(self.killed)),
        ]
    }

    fn pairs(&self) -> impl Iterator<Item = [(usize, u32); 2]> {
        let values = self.values();
        (0..values.len())
            .flat_map(move |a| (a + 1..values.len()).map(move |b| [values[a], values[b]]))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed = if self.killed { ", killed" } else { "" };
        write!(
            f,
            "{} workers of {} threads, {:>5} rows, speed {:>3}, {:>6}, {:>6}{killed}",
            self.workers,
            self.threads,
            self.rows,
            self.speed,
            self.link,
            self.isa.name()
        )
    }
}

/// Every combination this processor can run.
pub(crate) fn every() -> Vec<Case> {
    let mut cases = Vec::new();
    for workers in WORKERS {
        for rows in ROWS {
            for threads in THREADS {
                for speed in SPEEDS {
                    for link in LINKS {
                        for isa in Isa::available() {
                            cases.extend(KILLED.map(|killed| Case {
                                workers,
                                rows,
                                threads,
                                speed,
                                link,
                                isa,
                                killed,
                            }));
                        }
                    }
                }
            }
        }
    }
    cases
}

/// Few cases in which every pair of values meets: each time the one with the most pairs still missing.
pub(crate) fn all_pairs() -> Vec<Case> {
    let every = every();
    let mut missing: Vec<_> = every.iter().flat_map(Case::pairs).collect();
    missing.sort_unstable();
    missing.dedup();
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let new = |case: &&Case| {
            case.pairs()
                .filter(|p| missing.binary_search(p).is_ok())
                .count()
        };
        let best = *every.iter().max_by_key(new).expect("there are cases");
        let met: Vec<_> = best.pairs().collect();
        missing.retain(|pair| !met.contains(pair));
        chosen.push(best);
    }
    chosen
}
