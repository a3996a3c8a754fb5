//! Whatever a checkpoint or a letter holds, it is refused by name or stepped: nothing panics.

use bumpalo::Bump;
use kernel::config::{Scenario, SimulationConfig};
use kernel::mail::Letter;
use kernel::philox::philox4x32;
use kernel::plan::Plan;
use kernel::{CheckpointError, MailError, Partition, StepInputs};

const FEW: u32 = 24;
/// So many in one part that neighbours are found by a grid.
const MANY: u32 = 320;
const TICKS: u32 = 900;
/// Ticks that what was accepted is stepped on.
const AFTER: u32 = 4;

fn plan(entities: u32, partition_rows: u32) -> Plan {
    Plan::new(&SimulationConfig {
        scenario: Scenario::Dense.code(),
        entities,
        tick_ms: 50,
        seed: 2,
        partition_rows,
    })
    .expect("valid")
}

/// All partitions after some ticks, and the letters they wrote in the last: from, to, words.
#[allow(clippy::type_complexity)]
fn farm(plan: &Plan) -> (Vec<Partition>, Vec<(u32, u32, Vec<u32>)>) {
    let mut partitions: Vec<_> = (0..plan.partitions.len() as u32)
        .map(|index| Partition::create(plan, index))
        .collect();
    let mut letters = letters_of(&partitions);
    let mut bump = Bump::new();
    for _ in 0..TICKS {
        for partition in &mut partitions {
            let mail = mail_to(partition.index(), &letters);
            let inputs = StepInputs {
                commands: &[],
                mail: &mail,
            };
            bump.reset();
            partition.step(&inputs, &bump).expect("own mail");
        }
        letters = letters_of(&partitions);
    }
    (partitions, letters)
}

fn letters_of(partitions: &[Partition]) -> Vec<(u32, u32, Vec<u32>)> {
    (partitions.iter())
        .flat_map(|p| {
            p.outbox()
                .map(|(to, words)| (p.index(), to, words.to_vec()))
        })
        .collect()
}

fn mail_to(to: u32, letters: &[(u32, u32, Vec<u32>)]) -> Vec<&[u32]> {
    (letters.iter().filter(|letter| letter.1 == to))
        .map(|letter| &letter.2[..])
        .collect()
}

/// Steps, and reads all that is read of a partition.
fn step_on(partition: &mut Partition, bump: &mut Bump) {
    for _ in 0..AFTER {
        bump.reset();
        // A part of a cut site refuses a step without mail.
        let _ = partition.step(&StepInputs::default(), bump);
    }
    let _ = (partition.digest(), partition.aggregate());
    let mut blocks = vec![Default::default(); partition.view_blocks() as usize];
    let mut records = vec![[0; 8]; partition.rows() as usize];
    partition.write_view(&mut blocks, &mut records);
}

/// What a byte or word is replaced by: each bit flipped in turn, and the extremes.
fn other_values(value: u32, bits: u32) -> impl Iterator<Item = u32> {
    let all = u32::MAX >> (32 - bits);
    (0..bits)
        .map(move |bit| value ^ 1 << bit)
        .chain([0, all, all >> 1, all ^ all >> 1])
        .filter(move |other| *other != value)
}

#[test]
fn a_checkpoint_with_any_byte_changed_is_refused_or_stepped() {
    for partition_rows in [4096, 8] {
        let plan = plan(FEW, partition_rows);
        let (partitions, _) = farm(&plan);
        let mut checkpoint = Vec::new();
        partitions[0].checkpoint(&mut checkpoint);
        let (mut accepted, mut refused) = (0, 0);
        let mut bump = Bump::new();
        for at in 0..checkpoint.len() {
            let value = checkpoint[at];
            for other in other_values(u32::from(value), 8) {
                checkpoint[at] = other as u8;
                match Partition::restore(&plan, 0, &checkpoint) {
                    Ok(mut partition) => {
                        step_on(&mut partition, &mut bump);
                        accepted += 1;
                    }
                    Err(e) => {
                        assert!(e.to_string().starts_with("checkpoint: "), "{e}");
                        refused += 1;
                    }
                }
            }
            checkpoint[at] = value;
        }
        assert!(accepted > 1_000 && refused > 1_000, "{accepted} {refused}");
    }
}

#[test]
fn a_truncated_checkpoint_and_one_of_another_partition_are_refused() {
    let plan = plan(FEW, 8);
    let (partitions, _) = farm(&plan);
    let mut checkpoint = Vec::new();
    partitions[0].checkpoint(&mut checkpoint);
    for len in 0..checkpoint.len() {
        assert!(Partition::restore(&plan, 0, &checkpoint[..len]).is_err());
    }
    assert!(matches!(
        Partition::restore(&plan, 1, &checkpoint),
        Err(CheckpointError::Mismatch { .. })
    ));
    assert!(Partition::restore(&plan, 0, &checkpoint).is_ok());
}

#[test]
fn a_letter_with_any_word_changed_is_refused_or_read() {
    let plan = plan(MANY, MANY / 4);
    let (partitions, letters) = farm(&plan);
    let (mut read, mut refused) = (0, 0);
    let mut bump = Bump::new();
    let ghosts = |words: &[u32]| Letter::read(words).expect("own").ghosts().count();
    // The fullest letter, and the grants and bulletin of the site to the same reader.
    let (_, full) = (letters.iter().map(|l| (ghosts(&l.2), l)))
        .max_by_key(|(ghosts, _)| *ghosts)
        .expect("a letter");
    assert!(ghosts(&full.2) > 0, "no ghosts to change");
    for (reader, partition) in partitions.iter().enumerate() {
        let of_interest = |letter: &(u32, u32, Vec<u32>)| {
            letter.1 == reader as u32 && letter.1 == full.1 && [0, full.0].contains(&letter.0)
        };
        for which in (0..letters.len()).filter(|i| of_interest(&letters[*i])) {
            let mut letters = letters.clone();
            for at in 0..letters[which].2.len() {
                let value = letters[which].2[at];
                for other in other_values(value, 32) {
                    letters[which].2[at] = other;
                    let mail = mail_to(reader as u32, &letters);
                    let mut partition = partition.clone();
                    let inputs = StepInputs {
                        commands: &[],
                        mail: &mail,
                    };
                    bump.reset();
                    let before = partition.tick();
                    match partition.step(&inputs, &bump) {
                        Ok(()) => read += 1,
                        Err(e) => {
                            assert_eq!(partition.tick(), before, "{e}");
                            assert!(!matches!(e, MailError::NotCut));
                            refused += 1;
                        }
                    }
                }
                letters[which].2[at] = value;
            }
        }
    }
    assert!(read > 500 && refused > 500, "{read} {refused}");
}

#[test]
fn many_changes_at_once_are_refused_or_stepped() {
    let plan = plan(FEW, 4096);
    let (partitions, _) = farm(&plan);
    let mut whole = Vec::new();
    partitions[0].checkpoint(&mut whole);
    let mut bump = Bump::new();
    for round in 0..2_000 {
        let mut checkpoint = whole.clone();
        for change in 0..1 + round % 5 {
            let [place, bit, ..] = philox4x32([round, change, 0, 0], [1, 1]);
            let at = place as usize % checkpoint.len();
            checkpoint[at] ^= 1 << (bit % 8);
        }
        if let Ok(mut partition) = Partition::restore(&plan, 0, &checkpoint) {
            step_on(&mut partition, &mut bump);
        }
    }
}
