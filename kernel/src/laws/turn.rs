//! Turns at a headland between swaths: their length and the arcs that make them.
//!
//! With a turning radius R and a swath pitch w: where w >= 2R, a quarter turn, a straight w - 2R, a
//! quarter turn; where w < 2R, an omega of three arcs. All is computed once a class at set-up.

use crate::math::{HALF_TURN, QUARTER_TURN, RADIANS_PER_UNIT, acos};

/// A piece of a path: an arc, or a straight where `sweep` is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arc {
    /// Change of heading over the piece, binary angle (2^32 a turn), positive to the left. It has
    /// more bits than a heading since the middle of an omega sweeps up to 5/6 of a turn.
    pub sweep: i64,
    /// Length of the piece, m; 0 for a turn on the spot.
    pub length_m: f32,
}

/// Length of a turn, m: `pi R + w - 2R`, or of an omega `R (pi + 4 acos((2R + w) / 4R))`.
#[must_use]
pub fn turn_length_m(radius_m: f32, pitch_m: f32) -> f32 {
    arcs(radius_m, pitch_m).iter().map(|arc| arc.length_m).sum()
}

/// The pieces of a turn to the left into the next swath, in driving order. For a turn to the right,
/// negate every sweep.
///
/// # Panics
/// If the radius is negative or the pitch is not positive.
#[must_use]
pub fn arcs(radius_m: f32, pitch_m: f32) -> [Arc; 3] {
    assert!(
        radius_m >= 0.0 && pitch_m > 0.0,
        "a turn leads to another swath"
    );
    if pitch_m >= 2.0 * radius_m {
        let quarter = arc(radius_m, i64::from(QUARTER_TURN));
        let straight = Arc {
            sweep: 0,
            length_m: pitch_m - 2.0 * radius_m,
        };
        return [quarter, straight, quarter];
    }
    let away = i64::from(acos((2.0 * radius_m + pitch_m) / (4.0 * radius_m)));
    let aside = arc(radius_m, -away);
    [aside, arc(radius_m, i64::from(HALF_TURN) + 2 * away), aside]
}

fn arc(radius_m: f32, sweep: i64) -> Arc {
    Arc {
        sweep,
        length_m: radius_m * (sweep.unsigned_abs() as f32 * RADIANS_PER_UNIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// Where a path from (0, 0) heading east ends: x, y, heading in radians.
    fn end_of(path: [Arc; 3], radius_m: f64) -> [f64; 3] {
        let [mut x, mut y, mut heading] = [0.0_f64; 3];
        for arc in path {
            if arc.sweep == 0 {
                x += f64::from(arc.length_m) * heading.cos();
                y += f64::from(arc.length_m) * heading.sin();
            } else {
                let after = heading + arc.sweep as f64 / 4_294_967_296.0 * TAU;
                let signed_radius = radius_m * arc.sweep.signum() as f64;
                x += signed_radius * (after.sin() - heading.sin());
                y -= signed_radius * (after.cos() - heading.cos());
                heading = after;
            }
        }
        [x, y, heading]
    }

    #[test]
    fn every_turn_ends_on_the_next_swath_heading_back() {
        for radius in [0.0, 0.5, 1.0, 3.8_f32] {
            for pitch in [0.05, 0.5, 1.0, 1.99, 2.0, 3.0, 7.6, 12.0_f32] {
                let [x, y, heading] = end_of(arcs(radius, pitch), f64::from(radius));
                let what = format!("R {radius} w {pitch}: {x} {y} {heading}");
                assert!(x.abs() < 1e-4, "{what}");
                assert!((y - f64::from(pitch)).abs() < 1e-4, "{what}");
                assert!((heading - TAU / 2.0).abs() < 1e-5, "{what}");
            }
        }
    }

    #[test]
    fn an_omega_has_the_length_of_its_formula() {
        let exact = 3.8 * (TAU / 2.0 + 4.0 * ((7.6 + 3.0) / 15.2_f64).acos());
        assert!((f64::from(turn_length_m(3.8, 3.0)) - exact).abs() < 1e-4);
    }

    #[test]
    fn a_turn_on_the_spot_is_the_pitch_long() {
        assert_eq!(turn_length_m(0.0, 3.0), 3.0);
    }
}
