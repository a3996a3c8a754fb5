//! The dense farm flows: whatever its machines are told and however often they break down, none of
//! them is kept from its work for long, and no two touch.

use bumpalo::Bump;
use kernel::command::{Action, Command};
use kernel::config::{Scenario, SimulationConfig};
use kernel::plan::Plan;
use kernel::rows::State;
use kernel::{Partition, StepInputs, event};

const MACHINES: u32 = 640;
const TICKS: u32 = 20_000;
/// Longest time between two swaths of a machine, s: charging, its queue and the ways there and back,
/// repairs, and some waits for ways.
const LONGEST_GAP_S: u32 = 600;
const TICK_MS: u32 = 50;

/// Sends machines here and there, holds others, and lets each go 10 s later.
fn script(tick: u32) -> Vec<Command> {
    if !tick.is_multiple_of(40) {
        return Vec::new();
    }
    let machine = |tick: u32| 1 + tick / 40 * 131 % MACHINES;
    let action = match tick / 40 % 9 {
        0 => Action::Goto {
            x_mm: (tick % 900) as i32 * 1000 - 450_000,
            y_mm: (tick % 500) as i32 * 1000 - 250_000,
        },
        1..=7 if tick / 40 % 2 == 1 => Action::Hold,
        1..=7 => Action::Goto {
            x_mm: (tick % 700) as i32 * 1000 - 350_000,
            y_mm: (tick % 310) as i32 * 1000 - 155_000,
        },
        _ => Action::ReturnToCharger,
    };
    let mut commands = vec![Command::new(u64::from(tick), machine(tick), action)];
    if tick > 200 {
        let earlier = machine(tick - 200);
        commands.push(Command::new(u64::from(tick) + 1, earlier, Action::Release));
    }
    commands
}

#[test]
fn every_machine_keeps_working_over_a_long_span() {
    let plan = Plan::new(&SimulationConfig {
        scenario: Scenario::Dense.code(),
        entities: MACHINES,
        tick_ms: TICK_MS,
        seed: 11,
        partition_rows: 4096,
    })
    .expect("valid");
    let mut farm = Partition::create(&plan, 0);
    let mut bump = Bump::new();
    // Last tick at which each machine began a swath.
    let mut worked = vec![0; MACHINES as usize];
    let mut longest = 0;
    for tick in 1..=TICKS {
        bump.reset();
        let commands = script(tick);
        let inputs = StepInputs {
            commands: &commands,
            mail: &[],
        };
        farm.step(&inputs, &bump).expect("no mail");
        for e in farm.events() {
            if e.kind == event::kind::TRANSITION && e.detail == State::Working as u32 {
                let last = &mut worked[e.entity as usize - 1];
                longest = longest.max(tick - *last);
                *last = tick;
            }
        }
    }
    for &last in &worked {
        longest = longest.max(TICKS - last);
    }
    let sum = farm.aggregate();
    let c = sum.counters;
    println!("longest gap {} s, {:?}", longest * TICK_MS / 1000, sum);
    assert!(longest * TICK_MS / 1000 <= LONGEST_GAP_S);
    assert_eq!(c.separation_violations, 0);
    assert!(c.stand_offs * 20 < c.turns, "{c:?}");
    assert!(
        c.turns > 10 * u64::from(MACHINES) && c.charges > u64::from(MACHINES) / 4,
        "{c:?}"
    );
    assert!(
        c.charger_waits > 0 && c.denied_grants > 0 && c.repairs > 0,
        "{c:?}"
    );
}
