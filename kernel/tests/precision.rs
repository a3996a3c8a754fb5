//! What a naive f32 model gets wrong, and that every instruction set gives the same bits.

use kernel::isa::Isa;
use kernel::laws::battery::{BatteryLaw, BatteryParams, FULL_CHARGE, Ocv, battery};
use kernel::laws::guidance::{self, MotionParams};
use kernel::laws::power::{Draft, GroundLaw, GroundParams, WheelGround, ground_power};
use kernel::layout::{Fence, Point};
use kernel::math;
use kernel::philox::{MAX_DRAWN_TICKS, Purpose, draw, exponential_ticks, uniform};

const PACK: BatteryParams = BatteryParams {
    ocv: Ocv::NMC,
    cells_series: 178,
    capacity_ah: 154.0,
    r_ohm: 0.05,
    v_min: 500.0,
    v_max: 747.6,
    charge_limit_a: 120.0,
    charge_efficiency: 0.995,
    taper_below: 0.15,
    empty_below: 0.02,
};

/// Drains `PACK` at 1 A for an hour; the share of charge lost.
fn drained_in_an_hour(tick_ms: u32) -> f64 {
    let law = BatteryLaw::new(&PACK, tick_ms);
    let before = FULL_CHARGE / 2;
    let (mut charge, mut rem, mut current, mut flags) = ([before], [0.0], [0.0], [0]);
    for _ in 0..3_600_000 / tick_ms {
        let power = law.ocv_v(charge[0] as f32 / FULL_CHARGE as f32) - PACK.r_ohm;
        battery(
            Isa::detect(),
            &law,
            &[power],
            &[0.0],
            &mut charge,
            &mut rem,
            &mut current,
            &mut [0.0],
            &mut flags,
        );
    }
    f64::from(before - charge[0]) / f64::from(FULL_CHARGE)
}

#[test]
fn one_ampere_for_an_hour_drains_what_it_should() {
    for tick_ms in [5, 20, 60, 1_000] {
        let drained = drained_in_an_hour(tick_ms);
        assert!(
            (drained / 0.006_493_5 - 1.0).abs() < 1e-3,
            "{tick_ms} ms: {drained}"
        );
    }
}

/// The check above can tell: the same drain of a charge held as a plain f32.
#[test]
fn a_plain_f32_of_charge_fails_that() {
    let mut z = 0.5_f32;
    for _ in 0..180_000 {
        z -= 0.02 / (3_600.0 * 154.0);
    }
    let drained = f64::from(0.5 - z);
    assert!((drained / 0.006_493_5 - 1.0).abs() > 0.1, "{drained}");
}

/// Metres that 0.264 m/s takes a machine in 60 s from 9 km east of its site's origin.
fn moved_in_a_minute(tick_ms: u32) -> f64 {
    let from = 9_000 << 16;
    let [low, high] = [-from, 2 * from].map(|at| Point { x: at, y: at });
    let params = MotionParams {
        dt_s: tick_ms as f32 / 1_000.0,
        fence: Fence { low, high },
    };
    let (mut x, mut y, mut heading) = ([from], [0], [0]);
    let (mut x_rem, mut y_rem) = ([0.0], [0.0]);
    for _ in 0..60_000 / tick_ms {
        guidance::advance(
            Isa::detect(),
            &params,
            &[0.264],
            &[0],
            &mut x,
            &mut y,
            &mut x_rem,
            &mut y_rem,
            &mut heading,
        );
    }
    assert_eq!((y, heading), ([0], [0]));
    f64::from(x[0] - from) / 65_536.0
}

#[test]
fn a_slow_machine_far_from_the_origin_moves_as_far_as_it_should() {
    for tick_ms in [5, 20, 50, 1_000] {
        let moved = moved_in_a_minute(tick_ms);
        assert!((moved / 15.84 - 1.0).abs() < 2e-3, "{tick_ms} ms: {moved}");
    }
}

/// The check above can tell: the same way of a position held as a plain f32 of metres.
#[test]
fn a_plain_f32_of_position_fails_that() {
    let mut x = 9_000.0_f32;
    for _ in 0..3_000 {
        x += 0.264 * 0.02;
    }
    let moved = f64::from(x - 9_000.0);
    assert!((moved / 15.84 - 1.0).abs() > 0.05, "{moved}");
}

/// Time to failure is exponential: its mean, and the share that fails within 1 % of the mean, which
/// is where a 24-bit draw a tick has no resolution left.
#[test]
fn failure_draws_are_exponential() {
    const DRAWS: u32 = 200_000;
    let mean_s = 50 * 3_600;
    let mean_ticks = f64::from(mean_s) * 50.0;
    let (mut sum, mut early, mut beyond_mean) = (0.0, 0, 0);
    for entity in 0..DRAWS {
        let ticks = f64::from(exponential_ticks(7, entity, Purpose::Fault, 3, mean_s, 20));
        sum += ticks;
        early += u32::from(ticks <= mean_ticks / 100.0);
        beyond_mean += u32::from(ticks > mean_ticks);
    }
    let n = f64::from(DRAWS);
    // Four standard errors each.
    let share =
        |count: u32, p: f64| (f64::from(count) / n - p).abs() < 4.0 * (p * (1.0 - p) / n).sqrt();
    assert!((sum / n / mean_ticks - 1.0).abs() < 4.0 / n.sqrt());
    assert!(share(early, 1.0 - (-0.01_f64).exp()), "{early}");
    assert!(share(beyond_mean, (-1.0_f64).exp()), "{beyond_mean}");
}

#[test]
fn failure_draws_are_those_of_f64_inversion() {
    for entity in 0..50_000 {
        let word = draw(9, entity, Purpose::Repair, 0)[0];
        let u = (f64::from(word) + 0.5) * 2_f64.powi(-32);
        let expected = (-u.ln() * 3_600.0 * 1_000.0 / 5.0).ceil();
        let is = f64::from(exponential_ticks(9, entity, Purpose::Repair, 0, 3_600, 5));
        // One where the product stands next to an integer.
        assert!((is - expected).abs() <= 1.0, "{entity}");
        assert!(is >= 1.0 && is <= f64::from(MAX_DRAWN_TICKS));
    }
}

/// Reproducible numbers of a range, and the values at which formulas break.
fn column(index: u64, from: f32, to: f32, edges: &[f32]) -> Vec<f32> {
    (0..ROWS)
        .map(|row| {
            let [pick, word, which, _] = draw(11, row, Purpose::Layout, index);
            if pick % 8 == 0 && !edges.is_empty() {
                edges[which as usize % edges.len()]
            } else {
                from + (to - from) * uniform(word)
            }
        })
        .collect()
}

/// Not a multiple of any vector's width, so that the loops' tails run too.
const ROWS: u32 = 4_099;

fn bits(columns: &[&[f32]]) -> Vec<u32> {
    columns
        .iter()
        .flat_map(|column| column.iter().map(|x| x.to_bits()))
        .collect()
}

/// What every available form gives, the scalar reference first.
fn of_every_isa<T>(run: impl Fn(Isa) -> T) -> Vec<(Isa, T)> {
    let all: Vec<_> = Isa::available().map(|isa| (isa, run(isa))).collect();
    assert_eq!(all[0].0, Isa::Scalar);
    all
}

#[test]
fn ground_power_has_the_same_bits_on_every_instruction_set() {
    for wheels in [WheelGround::BRIXIUS, WheelGround::rolling(0.03)] {
        let law = GroundLaw::new(&GroundParams {
            mass_kg: 3_300.0,
            wheels,
            draft: Draft {
                texture: 0.7,
                constant: 652.0,
                linear: 3.0,
                quadratic: 5.1,
                width: 1.2,
                depth_cm: 20.0,
            },
            eta: 0.85,
            eta_regen: 0.6,
            hotel_w: 1_500.0,
            tool_w: 250.0,
            p_max_w: 50_000.0,
        });
        let speed = column(0, 0.0, 8.0, &[0.0, 1e-30, 1e-45, 100.0]);
        let accel = column(1, -4.0, 4.0, &[0.0, -0.0, 50.0, -50.0]);
        let engaged = column(2, 0.0, 0.0, &[1.0]);
        let bn = column(3, 10.0, 100.0, &[1e-3, 20.0, 1e6]);
        let results = of_every_isa(|isa| {
            let mut out = vec![vec![0.0; ROWS as usize]; 3];
            let [power, slip, ratio] = &mut out[..] else {
                unreachable!()
            };
            ground_power(isa, &law, &speed, &accel, &engaged, &bn, power, slip, ratio);
            out
        });
        let reference = &results[0].1;
        assert!(reference.iter().flatten().all(|x| x.is_finite()));
        assert!(reference[1].iter().any(|s| *s > 0.0) == (wheels == WheelGround::BRIXIUS));
        assert!(reference[2].iter().any(|r| *r < 1.0));
        for (isa, out) in &results {
            for (column, expected) in out.iter().zip(reference) {
                assert!(bits(&[column]) == bits(&[expected]), "{isa}");
            }
        }
    }
}

#[test]
fn battery_has_the_same_bits_on_every_instruction_set() {
    for ocv in [Ocv::NMC, Ocv::LFP] {
        let law = BatteryLaw::new(&BatteryParams { ocv, ..PACK }, 1_000);
        let power = column(4, -90_000.0, 150_000.0, &[0.0, 1e9, -1e9, 1e-40]);
        let slot = column(5, 0.0, 0.0, &[22_000.0, 80_000.0, 1.0, 1e9]);
        let before: Vec<i32> = column(6, 0.0, 1.0, &[0.0, 1.0, 0.02, 0.15])
            .iter()
            .map(|z| (z * FULL_CHARGE as f32) as i32)
            .collect();
        let results = of_every_isa(|isa| {
            let mut charge = before.clone();
            let mut rem = column(7, -0.5, 0.5, &[0.0, 0.5, -0.5]);
            let mut current = vec![0.0; ROWS as usize];
            let mut given = vec![0.0; ROWS as usize];
            let mut flags = vec![0; ROWS as usize];
            for _ in 0..20 {
                battery(
                    isa,
                    &law,
                    &power,
                    &slot,
                    &mut charge,
                    &mut rem,
                    &mut current,
                    &mut given,
                    &mut flags,
                );
            }
            assert!(rem.iter().all(|r| r.abs() <= 0.5));
            assert!(charge.iter().all(|c| (0..=FULL_CHARGE).contains(c)));
            (charge, bits(&[&rem, &current, &given]), flags)
        });
        let reference = &results[0].1;
        for flag in [1, 2, 4] {
            assert!(reference.2.iter().any(|f| f & flag != 0), "flag {flag}");
        }
        for (isa, result) in &results {
            assert!(result == reference, "{isa}");
        }
    }
}

mod approximations {
    use kernel::{math, vector_law};

    #[inline(always)]
    fn all_row(_: &(), x: f32, y: f32, out: &mut [u32; 6]) {
        let angle = math::angle_of(x, y);
        let (sine, cosine) = math::sin_cos(angle);
        *out = [
            angle,
            sine.to_bits(),
            cosine.to_bits(),
            math::exp(x).to_bits(),
            math::ln(math::max(math::abs(y), f32::MIN_POSITIVE)).to_bits(),
            math::round_wide_to_i32(math::clamp(x * 1e6, -2e9, 2e9)) as u32,
        ];
    }
    vector_law! {
        /// Every approximation at once.
        pub(super) fn all(nothing: &(), x: &[f32], y: &[f32]; out: &mut [[u32; 6]]) = all_row;
    }
}

#[test]
fn approximations_have_the_same_bits_on_every_instruction_set() {
    let edges = [0.0, -0.0, 1.0, -1.0, 1e-40, 3e38, -3e38, 1e-18];
    let x = column(8, -100.0, 100.0, &edges);
    let y = column(9, -100.0, 100.0, &edges);
    let results = of_every_isa(|isa| {
        let mut out = vec![[0; 6]; ROWS as usize];
        approximations::all(isa, &(), &x, &y, &mut out);
        out
    });
    for (isa, out) in &results {
        assert!(*out == results[0].1, "{isa}");
    }
    assert_eq!(math::angle_of(0.0, 1.0), math::QUARTER_TURN);
}
