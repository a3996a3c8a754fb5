//! Force on a ground machine, the slip of its wheels, and the electrical power it takes.
//!
//! On level ground (terrain adds the slope's `cos` and `sin`), after ASABE D497 and Brixius (1987):
//!
//! ```text
//! F     = m g rho + D + 1.05 m a                            force of the wheels, N
//! rho   = 1/Bn + 0.04 + 0.5 s/sqrt(Bn)                      motion resistance
//! mu_g  = 0.88 (1 - e^(-0.1 Bn)) (1 - e^(-7.5 s)) + 0.04    gross traction, = F / (m g)
//! D     = Fi (A + B S + C S^2) W T                          draft; S km/h, T cm, W m or tools
//! P     = F v / ((1 - s) eta) + P_tool + P_hotel            (F < 0: F v eta_regen + ...)
//! ```
//!
//! `rho` depends on the slip that it causes; [`SLIP_ITERATIONS`] rounds solve that.

use crate::math::{exp, ln, max, min};
use crate::vector_law;

/// Standard gravity, m/s2.
pub const GRAVITY_M_PER_S2: f32 = 9.80665;
/// A machine whose slip exceeds this is stuck.
pub const STUCK_SLIP: f32 = 0.3;
/// Slip is cut off here, so that power stays finite where the ground cannot carry the force.
pub const MAX_SLIP: f32 = 0.5;
/// Rounds of the fixed point `s -> rho(s) -> mu_g -> s`, begun at s = 0. The distance to the solution
/// falls by 50 a round at Bn 20 and little slip, by 5 at the slip where a machine is stuck.
pub const SLIP_ITERATIONS: u32 = 3;
/// What rotating parts add to the mass that is accelerated.
pub const ROTATING_MASS: f32 = 1.05;

/// How wheels meet the ground; the coefficients of `rho` and `mu_g` above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WheelGround {
    /// Motion resistance on any ground, 0.04.
    pub resistance: f32,
    /// Times 1/Bn, 1.
    pub resistance_soft: f32,
    /// Times s/sqrt(Bn), 0.5.
    pub resistance_slip: f32,
    /// Gross traction of a wheel that does not slip, 0.04.
    pub traction: f32,
    /// Most that slipping adds to it, 0.88.
    pub traction_slip: f32,
    /// Exponent a unit of Bn, 0.1.
    pub bn_rate: f32,
    /// Exponent a unit of slip, 7.5.
    pub slip_rate: f32,
}

impl WheelGround {
    /// Bias-ply tyres on soil: ASABE D497.7, clause 3.
    pub const BRIXIUS: WheelGround = WheelGround {
        resistance: 0.04,
        resistance_soft: 1.0,
        resistance_slip: 0.5,
        traction: 0.04,
        traction_slip: 0.88,
        bn_rate: 0.1,
        slip_rate: 7.5,
    };

    /// Wheels on a floor: a constant coefficient, and more traction without slip than is ever needed.
    #[must_use]
    pub const fn rolling(resistance: f32) -> WheelGround {
        WheelGround {
            resistance,
            resistance_soft: 0.0,
            resistance_slip: 0.0,
            traction: 1e6,
            ..WheelGround::BRIXIUS
        }
    }
}

/// Draft of an implement: ASABE D497.7, clause 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// Soil texture factor Fi, 1 for fine soil.
    pub texture: f32,
    /// A, N per (m or tool) and cm.
    pub constant: f32,
    /// B, the same per km/h.
    pub linear: f32,
    /// C, the same per (km/h)^2.
    pub quadratic: f32,
    /// W, m or number of tools.
    pub width: f32,
    /// T, cm.
    pub depth_cm: f32,
}

impl Draft {
    /// Nothing in the ground.
    pub const NONE: Draft = Draft {
        texture: 0.0,
        constant: 0.0,
        linear: 0.0,
        quadratic: 0.0,
        width: 0.0,
        depth_cm: 0.0,
    };

    /// Coefficients of v^0, v and v^2 with v in m/s, N.
    #[must_use]
    pub fn coefficients(&self) -> [f32; 3] {
        const KM_PER_H: f32 = 3.6;
        let scale = self.texture * self.width * self.depth_cm;
        [
            scale * self.constant,
            scale * self.linear * KM_PER_H,
            scale * self.quadratic * (KM_PER_H * KM_PER_H),
        ]
    }

    /// Draft at a speed, N.
    #[must_use]
    pub fn force_n(&self, speed_m_per_s: f32) -> f32 {
        let [c0, c1, c2] = self.coefficients();
        c0 + speed_m_per_s * (c1 + speed_m_per_s * c2)
    }
}

/// A class of ground machine, as far as its drive is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundParams {
    /// Mass with load, kg.
    pub mass_kg: f32,
    /// Wheels and ground.
    pub wheels: WheelGround,
    /// Implement, while engaged.
    pub draft: Draft,
    /// Efficiency from battery to wheel, 0..=1.
    pub eta: f32,
    /// Share of braking power that returns to the battery, 0..=1.
    pub eta_regen: f32,
    /// Computers, sensors and lights, W.
    pub hotel_w: f32,
    /// Power of the tool while engaged, W.
    pub tool_w: f32,
    /// Most electrical power that the drive takes, W.
    pub p_max_w: f32,
}

/// [`GroundParams`] with what depends on nothing else computed once.
#[derive(Clone, Copy, Debug)]
pub struct GroundLaw {
    wheels: WheelGround,
    weight_n: f32,
    per_weight_n: f32,
    inertia_kg: f32,
    draft: [f32; 3],
    per_eta: f32,
    eta_regen: f32,
    hotel_w: f32,
    tool_w: f32,
    p_max_w: f32,
    per_slip_rate: f32,
    max_used: f32,
}

impl GroundLaw {
    /// # Panics
    /// If mass, efficiency or greatest power is not positive.
    #[must_use]
    pub fn new(params: &GroundParams) -> GroundLaw {
        assert!(params.mass_kg > 0.0 && params.eta > 0.0 && params.p_max_w > 0.0);
        let weight_n = params.mass_kg * GRAVITY_M_PER_S2;
        GroundLaw {
            wheels: params.wheels,
            weight_n,
            per_weight_n: 1.0 / weight_n,
            inertia_kg: ROTATING_MASS * params.mass_kg,
            draft: params.draft.coefficients(),
            per_eta: 1.0 / params.eta,
            eta_regen: params.eta_regen,
            hotel_w: params.hotel_w,
            tool_w: params.tool_w,
            p_max_w: params.p_max_w,
            per_slip_rate: 1.0 / params.wheels.slip_rate,
            max_used: 1.0 - exp(-params.wheels.slip_rate * MAX_SLIP),
        }
    }
}

/// Motion resistance over weight at a slip, on ground of mobility number `bn`.
#[inline(always)]
#[must_use]
pub fn motion_resistance(wheels: &WheelGround, slip: f32, bn: f32) -> f32 {
    let per_bn = 1.0 / bn;
    let per_root_bn = per_bn * bn.sqrt();
    wheels.resistance
        + wheels.resistance_soft * per_bn
        + wheels.resistance_slip * per_root_bn * slip
}

vector_law! {
    /// Power, slip and speed ratio of rows.
    ///
    /// `speed_m_per_s >= 0`; `engaged` is 1 with the implement in the ground, else 0; `bn` is the
    /// mobility number of the ground, above 0 (hard 80, firm 55, tilled 40, soft 20).
    ///
    /// `power_w` is what the battery must give, negative where braking returns more than is used.
    /// `slip` is 0 of a machine that stands or brakes, at most [`MAX_SLIP`], and means stuck above
    /// [`STUCK_SLIP`]. `speed_ratio` is 1, or where the drive lacks power the factor, above 0 and
    /// below 1, by which the machine must slow down; `power_w` is then that of the drive's limit.
    pub fn ground_power(
        law: &GroundLaw,
        speed_m_per_s: &[f32],
        accel_m_per_s2: &[f32],
        engaged: &[f32],
        bn: &[f32];
        power_w: &mut [f32],
        slip: &mut [f32],
        speed_ratio: &mut [f32],
    ) = ground_power_row;
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn ground_power_row(
    law: &GroundLaw,
    speed_m_per_s: f32,
    accel_m_per_s2: f32,
    engaged: f32,
    bn: f32,
    power_w: &mut f32,
    slip: &mut f32,
    speed_ratio: &mut f32,
) {
    let wheels = &law.wheels;
    let v = speed_m_per_s;
    let draft_n = engaged * (law.draft[0] + v * (law.draft[1] + v * law.draft[2]));
    let load_n = draft_n + law.inertia_kg * accel_m_per_s2;

    let rho_without_slip = motion_resistance(wheels, 0.0, bn);
    let rho_per_slip = motion_resistance(wheels, 1.0, bn) - rho_without_slip;
    let load = load_n * law.per_weight_n;
    let per_traction_slip = 1.0 / (wheels.traction_slip * (1.0 - exp(-wheels.bn_rate * bn)));
    let mut s = 0.0;
    for _ in 0..SLIP_ITERATIONS {
        let mu = load + rho_without_slip + rho_per_slip * s;
        // Share of the traction that slip can add; a braking wheel counts as rolling.
        let used = (mu - wheels.traction) * per_traction_slip;
        let used = min(max(used, 0.0), law.max_used);
        s = -ln(1.0 - used) * law.per_slip_rate;
    }
    let s = if v > 0.0 { s } else { 0.0 };

    let force_n = load_n + law.weight_n * (rho_without_slip + rho_per_slip * s);
    let wheel_w = force_n * v;
    let driving_w = wheel_w * law.per_eta / (1.0 - s);
    let braking_w = wheel_w * law.eta_regen;
    let drive_w = if force_n < 0.0 { braking_w } else { driving_w };
    let short = drive_w > law.p_max_w;
    let ratio = law.p_max_w / if short { drive_w } else { law.p_max_w };
    let drive_w = if short { law.p_max_w } else { drive_w };

    *power_w = drive_w + engaged * law.tool_w + law.hotel_w;
    *slip = s;
    *speed_ratio = ratio;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    const WEEDER: GroundParams = GroundParams {
        mass_kg: 900.0,
        wheels: WheelGround::BRIXIUS,
        draft: Draft {
            texture: 0.85,
            constant: 140.0,
            linear: 7.0,
            quadratic: 0.0,
            width: 3.0,
            depth_cm: 1.5,
        },
        eta: 0.75,
        eta_regen: 0.5,
        hotel_w: 100.0,
        tool_w: 20.0,
        p_max_w: 2_000.0,
    };

    /// Power, slip and ratio of one row.
    fn row(params: &GroundParams, v: f32, a: f32, engaged: f32, bn: f32) -> [f32; 3] {
        let mut out = [[0.0]; 3];
        let [power, slip, ratio] = &mut out;
        let law = GroundLaw::new(params);
        ground_power(
            Isa::Scalar,
            &law,
            &[v],
            &[a],
            &[engaged],
            &[bn],
            power,
            slip,
            ratio,
        );
        out.map(|column| column[0])
    }

    #[test]
    fn the_slip_found_gives_the_force_that_was_needed() {
        for bn in [20.0, 40.0, 55.0, 80.0_f32] {
            for accel in [0.0, 0.5, 1.0] {
                let [_, s, _] = row(&WEEDER, 0.264, accel, 1.0, bn);
                let force = 900.0 * GRAVITY_M_PER_S2 * motion_resistance(&WEEDER.wheels, s, bn)
                    + WEEDER.draft.force_n(0.264)
                    + 1.05 * 900.0 * accel;
                let mu = 0.88 * (1.0 - (-0.1 * bn).exp()) * (1.0 - (-7.5 * s).exp()) + 0.04;
                let carried = mu * 900.0 * GRAVITY_M_PER_S2;
                assert!((carried / force - 1.0).abs() < 1e-3, "{bn} {accel} {s}");
            }
        }
    }

    #[test]
    fn a_machine_that_stands_takes_its_hotel_power() {
        assert_eq!(row(&WEEDER, 0.0, 0.0, 0.0, 40.0), [100.0, 0.0, 1.0]);
        assert_eq!(row(&WEEDER, 0.0, 0.0, 1.0, 40.0), [120.0, 0.0, 1.0]);
    }

    #[test]
    fn braking_returns_power_and_does_not_slip() {
        let [power, slip, ratio] = row(&WEEDER, 1.0, -3.0, 0.0, 80.0);
        let rho = motion_resistance(&WEEDER.wheels, 0.0, 80.0);
        let force = 900.0 * (GRAVITY_M_PER_S2 * rho - 1.05 * 3.0);
        assert!((power - (force * 0.5 + 100.0)).abs() < 0.01, "{power}");
        assert_eq!([slip, ratio], [0.0, 1.0]);
    }

    #[test]
    fn too_much_draft_means_stuck_and_stays_finite() {
        let deep = GroundParams {
            draft: Draft {
                depth_cm: 100.0,
                ..WEEDER.draft
            },
            ..WEEDER
        };
        let [power, slip, ratio] = row(&deep, 0.5, 0.0, 1.0, 20.0);
        assert!(slip > STUCK_SLIP && slip <= MAX_SLIP * 1.000_01, "{slip}");
        assert_eq!(power, 2_120.0);
        assert!(ratio > 0.0 && ratio < 1.0);
    }

    #[test]
    fn a_drive_at_its_limit_slows_the_machine_in_proportion() {
        let free = GroundParams {
            p_max_w: 1e9,
            ..WEEDER
        };
        let [wanted, ..] = row(&free, 2.0, 1.0, 1.0, 40.0);
        let [power, _, ratio] = row(&WEEDER, 2.0, 1.0, 1.0, 40.0);
        assert_eq!(power, 2_120.0);
        assert!((ratio - 2_000.0 / (wanted - 120.0)).abs() < 1e-6);
    }
}
