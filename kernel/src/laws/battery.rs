//! Charge of a battery: open-circuit voltage and internal resistance, discharging and charging.
//!
//! The pack is a voltage source OCV(z) behind a resistance R. Power P at its terminals, positive out
//! of the pack, makes the current `I = 2P / (V0 + sqrt(V0^2 - 4 R P))`, of either sign. Charge is an
//! integer in units of 2^-30 of full with the remainder carried: a plain f32 of charge loses most of
//! a small current at short ticks.

use crate::math::{clamp, max, min, round_wide_to_i32};
use crate::vector_law;

/// Charge of a full battery.
pub const FULL_CHARGE: i32 = 1 << 30;
/// Flag: on a charger, and its current has fallen to a twentieth of the capacity (or the charge is
/// all there is).
pub const FLAG_FULL: u32 = 1 << 0;
/// Flag: the charge is at the cut-off, or the pack cannot give any power.
pub const FLAG_EMPTY: u32 = 1 << 1;
/// Flag: less power was given than was asked for.
pub const FLAG_LIMITED: u32 = 1 << 2;
/// Most points of a voltage curve.
pub const MAX_POINTS: usize = 17;

/// Open-circuit voltage of a cell over its charge, straight lines between points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ocv {
    /// (charge 0..=1, V), ascending in charge from 0 to 1; 2..=[`MAX_POINTS`] points.
    pub points: &'static [(f32, f32)],
}

impl Ocv {
    /// NMC, LG M50; computed from PyBaMM's parameter set Chen2020.
    pub const NMC: Ocv = Ocv {
        points: &[
            (0.0, 2.5000),
            (0.02, 2.8625),
            (0.05, 3.1094),
            (0.1, 3.2959),
            (0.2, 3.4852),
            (0.3, 3.5814),
            (0.4, 3.6670),
            (0.5, 3.7509),
            (0.6, 3.8406),
            (0.7, 3.9479),
            (0.8, 4.0421),
            (0.9, 4.0967),
            (1.0, 4.2000),
        ],
    };
    /// LFP; computed from PyBaMM's parameter set Prada2013.
    pub const LFP: Ocv = Ocv {
        points: &[
            (0.0, 2.0000),
            (0.01, 2.2655),
            (0.02, 2.4600),
            (0.05, 2.7853),
            (0.1, 2.9781),
            (0.2, 3.1685),
            (0.3, 3.2058),
            (0.4, 3.2525),
            (0.5, 3.2660),
            (0.6, 3.2688),
            (0.7, 3.2740),
            (0.8, 3.3097),
            (0.9, 3.3142),
            (0.95, 3.3164),
            (0.98, 3.3500),
            (0.99, 3.4145),
            (1.0, 3.5984),
        ],
    };
}

/// A battery pack and its charging.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatteryParams {
    /// Voltage curve of a cell.
    pub ocv: Ocv,
    /// Cells in series.
    pub cells_series: u32,
    /// Capacity of the pack, Ah.
    pub capacity_ah: f32,
    /// Resistance of the pack, ohm.
    pub r_ohm: f32,
    /// Least voltage at the pack's terminals, V.
    pub v_min: f32,
    /// Greatest voltage at the pack's terminals, V.
    pub v_max: f32,
    /// Greatest charging current, A.
    pub charge_limit_a: f32,
    /// Share of charging current that is stored, .995.
    pub charge_efficiency: f32,
    /// Below this charge (0..=1) the power given tapers to nothing at 0; 0 for no taper. Usually .15.
    pub taper_below: f32,
    /// Charge (0..=1) at which the pack cuts off, [`FLAG_EMPTY`].
    pub empty_below: f32,
}

/// [`BatteryParams`] at a length of tick, with what depends on nothing else computed once.
#[derive(Clone, Copy, Debug)]
pub struct BatteryLaw {
    /// Voltage at 0 less what the bends add there, `sum(slope * bend)`.
    ocv_before_bends: f32,
    slope_at_0: f32,
    /// Charge where the slope changes, and by how much; unused ones lie beyond full.
    bends: [(f32, f32); MAX_POINTS - 2],
    four_r_ohm: f32,
    per_r_ohm: f32,
    v_min: f32,
    v_max: f32,
    charge_limit_a: f32,
    full_below_a: f32,
    taper_gain: f32,
    empty_below: f32,
    units_per_a: f32,
    charged_units_per_a: f32,
}

impl BatteryLaw {
    /// # Panics
    /// If the voltage curve is not as [`Ocv::points`] says, or a quantity is not positive.
    #[must_use]
    pub fn new(params: &BatteryParams, tick_ms: u32) -> BatteryLaw {
        assert!(params.cells_series > 0 && params.capacity_ah > 0.0 && params.r_ohm > 0.0);
        assert!(params.v_max > params.v_min && params.v_min > 0.0);
        let cells = params.cells_series as f32;
        let (ocv_at_0, slope_at_0, bends) = bends_of(params.ocv, cells);
        let added_at_0: f32 = bends.iter().map(|(bend, slope)| bend * slope).sum();
        let dt_s = tick_ms as f32 / 1_000.0;
        let units_per_a = dt_s * FULL_CHARGE as f32 / (3_600.0 * params.capacity_ah);
        BatteryLaw {
            ocv_before_bends: ocv_at_0 - added_at_0,
            slope_at_0,
            bends,
            four_r_ohm: 4.0 * params.r_ohm,
            per_r_ohm: 1.0 / params.r_ohm,
            v_min: params.v_min,
            v_max: params.v_max,
            charge_limit_a: params.charge_limit_a,
            full_below_a: params.capacity_ah / 20.0,
            taper_gain: 1.0 / max(params.taper_below, 1e-9),
            empty_below: params.empty_below,
            units_per_a,
            charged_units_per_a: units_per_a * params.charge_efficiency,
        }
    }

    /// Open-circuit voltage of the pack at a charge of 0..=1, V.
    #[inline(always)]
    #[must_use]
    pub fn ocv_v(&self, z: f32) -> f32 {
        // Four sums in a fixed order: one would be a chain of 15 dependent additions.
        let mut sums = [self.ocv_before_bends + self.slope_at_0 * z, 0.0, 0.0, 0.0];
        for (k, (bend, slope)) in self.bends.into_iter().enumerate() {
            sums[k % 4] += slope * max(z, bend);
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }
}

/// Voltage and slope at 0, and the bends, of `cells` in series.
fn bends_of(ocv: Ocv, cells: f32) -> (f32, f32, [(f32, f32); MAX_POINTS - 2]) {
    let points = ocv.points;
    assert!((2..=MAX_POINTS).contains(&points.len()));
    assert!(points[0].0 == 0.0 && points[points.len() - 1].0 == 1.0);
    assert!(points.is_sorted_by(|a, b| a.0 < b.0));
    let slope =
        |k: usize| cells * (points[k + 1].1 - points[k].1) / (points[k + 1].0 - points[k].0);
    let mut bends = [(2.0, 0.0); MAX_POINTS - 2];
    for (k, bend) in (1..points.len() - 1).zip(&mut bends) {
        *bend = (points[k].0, slope(k) - slope(k - 1));
    }
    (cells * points[0].1, slope(0), bends)
}

vector_law! {
    /// Draws and charges over one tick.
    ///
    /// `power_w` is what the machine uses, negative where it brakes into the battery. `slot_w` is what
    /// a charger or panel offers at the pack's terminals, 0 where there is none; the machine's use
    /// comes off it first. Power out of the pack is clipped where its terminals would fall under
    /// `v_min`, and tapers at low charge; current into it is the least of the charging limit, what
    /// the power makes, and what holds the terminals at `v_max`.
    ///
    /// `charge` stays in 0..=[`FULL_CHARGE`], `charge_rem` in -0.5..=0.5. `current_a` is positive out
    /// of the pack. `given` is the share of what was asked for that the pack gave, 0..=1. Into `flags` [`FLAG_FULL`], [`FLAG_EMPTY`] and [`FLAG_LIMITED`] are or-ed; nothing
    /// is cleared.
    pub fn battery(
        law: &BatteryLaw,
        power_w: &[f32],
        slot_w: &[f32];
        charge: &mut [i32],
        charge_rem: &mut [f32],
        current_a: &mut [f32],
        given: &mut [f32],
        flags: &mut [u32],
    ) = battery_row;
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn battery_row(
    law: &BatteryLaw,
    power_w: f32,
    slot_w: f32,
    charge: &mut i32,
    charge_rem: &mut f32,
    current_a: &mut f32,
    given: &mut f32,
    flags: &mut u32,
) {
    const PER_FULL: f32 = 1.0 / FULL_CHARGE as f32;
    let z = *charge as f32 * PER_FULL;
    let v0 = law.ocv_v(z);

    let asked_w = power_w - slot_w;
    let taper = min(z * law.taper_gain, 1.0);
    let able_w = max(law.v_min * (v0 - law.v_min) * law.per_r_ohm, 0.0) * taper;
    let limited = asked_w > able_w;
    let given_w = if limited { able_w } else { asked_w };

    let discriminant = max(v0 * v0 - law.four_r_ohm * given_w, 0.0);
    let by_power_a = 2.0 * given_w / (v0 + discriminant.sqrt());
    let by_voltage_a = max((law.v_max - v0) * law.per_r_ohm, 0.0);
    let most_in_a = min(law.charge_limit_a, by_voltage_a);
    let current = max(by_power_a, -most_in_a);

    // The sum has one term that is not 0. A select of the two factors would be compiled as a gather.
    let moved = max(current, 0.0) * law.units_per_a + min(current, 0.0) * law.charged_units_per_a;
    let full = FULL_CHARGE as f32;
    let change = clamp(*charge_rem - moved, -full, full);
    let whole = round_wide_to_i32(change);
    let after = charge.wrapping_add(whole).clamp(0, FULL_CHARGE);

    // `&` and `|`: a short circuit is a branch.
    let saturated = (by_voltage_a <= law.full_below_a) | (after == FULL_CHARGE);
    let is_full = (slot_w > 0.0) & saturated;
    let is_empty = (after as f32 * PER_FULL <= law.empty_below) | (able_w <= 0.0);
    *charge = after;
    *charge_rem = change - whole as f32;
    *current_a = current;
    *given = if limited { able_w / asked_w } else { 1.0 };
    *flags |=
        select(is_full, FLAG_FULL) | select(is_empty, FLAG_EMPTY) | select(limited, FLAG_LIMITED);
}

#[inline(always)]
fn select(condition: bool, flag: u32) -> u32 {
    if condition { flag } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    /// 4 kWh LFP, 16 cells.
    const PACK: BatteryParams = BatteryParams {
        ocv: Ocv::LFP,
        cells_series: 16,
        capacity_ah: 78.0,
        r_ohm: 0.03,
        v_min: 40.0,
        v_max: 57.6,
        charge_limit_a: 39.0,
        charge_efficiency: 0.995,
        taper_below: 0.15,
        empty_below: 0.02,
    };

    struct Row {
        charge: i32,
        rem: f32,
        current: f32,
        given: f32,
        flags: u32,
    }

    fn step(params: &BatteryParams, z: f32, power_w: f32, slot_w: f32) -> Row {
        let law = BatteryLaw::new(params, 1_000);
        let (mut charge, mut rem) = ([(z * FULL_CHARGE as f32) as i32], [0.0]);
        let (mut current, mut given, mut flags) = ([0.0], [0.0], [0]);
        battery(
            Isa::Scalar,
            &law,
            &[power_w],
            &[slot_w],
            &mut charge,
            &mut rem,
            &mut current,
            &mut given,
            &mut flags,
        );
        Row {
            given: given[0],
            charge: charge[0],
            rem: rem[0],
            current: current[0],
            flags: flags[0],
        }
    }

    #[test]
    fn voltage_is_that_of_the_table_within_a_millivolt_a_cell() {
        for ocv in [Ocv::NMC, Ocv::LFP] {
            let law = BatteryLaw::new(
                &BatteryParams {
                    ocv,
                    cells_series: 1,
                    v_min: 2.0,
                    v_max: 4.2,
                    ..PACK
                },
                20,
            );
            for pair in ocv.points.windows(2) {
                let [(z0, v0), (z1, v1)] = [pair[0], pair[1]];
                for k in 0..=100 {
                    let share = k as f32 / 100.0;
                    let is = law.ocv_v(z0 + share * (z1 - z0));
                    assert!((is - (v0 + share * (v1 - v0))).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn current_carries_the_power_at_the_terminals() {
        for power in [500.0, -500.0] {
            let row = step(&PACK, 0.5, power, 0.0);
            let v0 = 16.0 * 3.2660;
            let given = row.current * (v0 - row.current * 0.03);
            assert!((given - power).abs() < 0.01, "{given}");
            assert_eq!(row.flags, 0);
        }
    }

    #[test]
    fn a_slot_feeds_the_machine_before_the_battery() {
        let row = step(&PACK, 0.5, 300.0, 1_000.0);
        assert_eq!(row.current, step(&PACK, 0.5, -700.0, 0.0).current);
        assert!(row.current < 0.0);
    }

    #[test]
    fn charging_keeps_the_current_limit_and_then_the_voltage() {
        assert_eq!(step(&PACK, 0.5, 0.0, 9_000.0).current, -39.0);
        let near_full = step(&PACK, 0.999, 0.0, 9_000.0);
        let v0 = 16.0 * (3.4145 + 0.9 * (3.5984 - 3.4145));
        assert!((near_full.current + (57.6 - v0) / 0.03).abs() < 0.2);
    }

    #[test]
    fn full_is_said_only_on_a_charger() {
        let low = BatteryParams {
            v_max: 56.0,
            ..PACK
        };
        assert_eq!(step(&low, 1.0, 0.0, 100.0).flags, FLAG_FULL);
        assert_eq!(step(&low, 1.0, 0.0, 0.0).flags, 0);
        assert_eq!(step(&low, 0.5, 0.0, 100.0).flags, 0);
    }

    #[test]
    fn charge_saturates_at_both_ends() {
        let tiny = BatteryParams {
            capacity_ah: 0.01,
            charge_limit_a: 1e6,
            taper_below: 0.0,
            v_max: 100.0,
            ..PACK
        };
        let drained = step(&tiny, 0.5, 1e6, 0.0);
        assert_eq!(drained.charge, 0);
        assert_eq!(drained.flags, FLAG_EMPTY | FLAG_LIMITED);
        let filled = step(&tiny, 0.5, 0.0, 1e5);
        assert_eq!((filled.charge, filled.flags), (FULL_CHARGE, FLAG_FULL));
        assert!(filled.rem.abs() <= 0.5);
    }

    #[test]
    fn power_tapers_at_low_charge_and_an_empty_pack_gives_none() {
        let low = step(&PACK, 0.075, 1e6, 0.0);
        let v0 = BatteryLaw::new(&PACK, 1_000).ocv_v(0.075);
        let given = low.current * (v0 - low.current * 0.03);
        let able = 40.0 * (v0 - 40.0) / 0.03 * 0.5;
        assert!((given / able - 1.0).abs() < 1e-4);
        assert!((low.given * 1e6 / able - 1.0).abs() < 1e-4);
        assert_eq!(step(&PACK, 0.5, 100.0, 0.0).given, 1.0);
        let empty = step(&PACK, 0.0, 100.0, 0.0);
        assert_eq!((empty.current, empty.given), (0.0, 0.0));
        assert_eq!(empty.flags, FLAG_EMPTY | FLAG_LIMITED);
    }
}
