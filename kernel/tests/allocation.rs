//! No step takes memory from the heap, whole or cut, and no digest does.
//!
//! One test alone, in a process of its own, since the allocator counts for all threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use bumpalo::Bump;
use kernel::command::{Action, Command};
use kernel::config::{Scenario, SimulationConfig};
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};

/// Counts what it passes on.
struct Counting;

static TAKEN: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u32 = 600;
const TICKS: u32 = 1_800;

/// Steps a farm and returns what its steps and digests took from the heap after the warm-up.
fn taken_by_steps(scenario: Scenario, entities: u32, partition_rows: u32) -> u64 {
    let plan = Plan::new(&SimulationConfig {
        scenario: scenario.code(),
        entities,
        tick_ms: 50,
        seed: 5,
        partition_rows,
    })
    .expect("valid");
    let mut partitions: Vec<_> = (0..plan.partitions.len() as u32)
        .map(|index| Partition::create(&plan, index))
        .collect();
    let mut bump = Bump::with_capacity(1 << 22);
    let mut taken = 0;
    for tick in 1..=TICKS {
        let letters: Vec<(u32, Vec<u32>)> = partitions
            .iter()
            .flat_map(|p| p.outbox().map(|(to, words)| (to, words.to_vec())))
            .collect();
        for partition in &mut partitions {
            let mail: Vec<&[u32]> = (letters.iter())
                .filter(|(to, _)| *to == partition.index())
                .map(|(_, words)| &words[..])
                .collect();
            let entity = 1 + tick * 37 % entities;
            let command = match tick % 50 {
                0 => Command::new(0, entity, Action::ReturnToCharger),
                25 => Command::new(0, entity, Action::Goto { x_mm: 0, y_mm: 0 }),
                _ => Command::new(0, entity, Action::SetSpeedLimit { mm_per_s: 0 }),
            };
            let is_here = plan.partition_of(entity) == partition.index();
            let inputs = StepInputs {
                commands: if is_here { &[command] } else { &[] },
                mail: &mail,
            };
            bump.reset();
            let before = TAKEN.load(Ordering::Relaxed);
            partition.step(&inputs, &bump).expect("readable mail");
            let digest = partition.digest();
            let after = TAKEN.load(Ordering::Relaxed);
            assert_ne!(digest, 0);
            if tick > WARM_UP {
                taken += after - before;
            }
        }
    }
    taken
}

#[test]
fn steps_and_digests_take_nothing_from_the_heap() {
    for (scenario, entities, partition_rows) in [
        (Scenario::Weeding, 240, 4096),
        (Scenario::Dense, 640, 4096),
        (Scenario::Dense, 640, 97),
    ] {
        let taken = taken_by_steps(scenario, entities, partition_rows);
        assert_eq!(taken, 0, "{} in {partition_rows}", scenario.name());
    }
}
