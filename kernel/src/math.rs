//! Arithmetic of the laws: polynomial approximations that give the same bits on every machine.
//!
//! Only + - * / and `sqrt` of f32, integer operations and selects stand here: no std transcendental
//! (its bits differ between platforms), no fused multiply-add, no f32 `min` or `max` (which differ
//! in NaN and signed zero), no saturating cast (which does not vectorise well), and no f64. All of
//! it is branch-free. The coefficients are interpolations at Chebyshev nodes, computed for this
//! crate with 40 digits and rounded to f32; the errors stated were measured against f64.

/// A quarter turn as a binary angle.
pub const QUARTER_TURN: u32 = 1 << 30;
/// A half turn as a binary angle.
pub const HALF_TURN: u32 = 1 << 31;
/// Radians of a unit of binary angle, `2 pi / 2^32`.
pub const RADIANS_PER_UNIT: f32 = 1.462_918_1e-9;

/// The smaller; `b` where they are equal.
#[inline(always)]
#[must_use]
pub fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger; `b` where they are equal.
#[inline(always)]
#[must_use]
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `x` limited to `low..=high`.
#[inline(always)]
#[must_use]
pub fn clamp(x: f32, low: f32, high: f32) -> f32 {
    min(max(x, low), high)
}

/// `x` without its sign.
#[inline(always)]
#[must_use]
pub fn abs(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0x7fff_ffff)
}

/// The nearest integer, ties to even, of `|x| < 2^22`.
#[inline(always)]
#[must_use]
pub fn round_to_i32(x: f32) -> i32 {
    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the mantissa.
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32)
}

/// The nearest integer, ties to even, of `|x| < 2^31`.
#[inline(always)]
#[must_use]
pub fn round_wide_to_i32(x: f32) -> i32 {
    // Both parts are exact: `x` has 24 bits, and the low part is at most 512 in the same units.
    let high = round_to_i32(x * (1.0 / 1024.0));
    let low = round_to_i32(x - high as f32 * 1024.0);
    high.wrapping_mul(1024).wrapping_add(low)
}

/// Sine and cosine of a binary angle: 2^32 is a full turn, 0 is east, counter-clockwise.
///
/// Absolute error at most 1.2e-7; exact at multiples of a quarter turn.
#[inline(always)]
#[must_use]
pub fn sin_cos(angle: u32) -> (f32, f32) {
    // Nearest quarter turn, and the rest of -pi/4..pi/4.
    let quadrant = angle.wrapping_add(QUARTER_TURN / 2) >> 30;
    let rest = angle.wrapping_sub(quadrant << 30) as i32;
    let x = rest as f32 * RADIANS_PER_UNIT;
    let z = x * x;
    let s = x + x * z * (-0.166_666_64 + z * (0.008_332_748 + z * -0.000_195_878_9));
    let c = 1.0 - 0.5 * z + z * z * (0.041_666_664 + z * (-0.001_388_830_2 + z * 2.454_794_2e-5));
    let swapped = quadrant & 1 == 1;
    let (sine, cosine) = (if swapped { c } else { s }, if swapped { s } else { c });
    // The sine is negative in quadrants 2 and 3, the cosine in 1 and 2.
    let sine_sign = (quadrant & 2) << 30;
    let cosine_sign = (quadrant.wrapping_add(1) & 2) << 30;
    (
        f32::from_bits(sine.to_bits() ^ sine_sign),
        f32::from_bits(cosine.to_bits() ^ cosine_sign),
    )
}

/// The binary angle of a direction; 0 of (0, 0).
///
/// Error at most 3e-7 rad for components that are 0 or of 1e-18 to 1e18 in size; exact for the four
/// directions of the axes.
#[inline(always)]
#[must_use]
pub fn angle_of(dx: f32, dy: f32) -> u32 {
    const UNITS_PER_RADIAN: f32 = 683_565_275.6;
    let (ax, ay) = (abs(dx), abs(dy));
    let steep = ay > ax;
    let (small, large) = (if steep { ax } else { ay }, if steep { ay } else { ax });
    let t = small / if large > 0.0 { large } else { 1.0 };
    let z = t * t;
    let high = -0.080_096_82 + z * (0.048_914_32 + z * (-0.020_026_747 + z * 0.003_866_738_9));
    let p =
        -0.333_333_22 + z * (0.199_986_82 + z * (-0.142_570_45 + z * (0.108_657_59 + z * high)));
    // 0..=an eighth of a turn.
    let eighth = round_wide_to_i32((t + t * z * p) * UNITS_PER_RADIAN) as u32;
    let quarter = if steep {
        QUARTER_TURN.wrapping_sub(eighth)
    } else {
        eighth
    };
    let half = if dx < 0.0 {
        HALF_TURN.wrapping_sub(quarter)
    } else {
        quarter
    };
    if dy < 0.0 { half.wrapping_neg() } else { half }
}

/// The binary angle in 0..=half a turn whose cosine is `c`; `c` is limited to -1..=1.
#[inline(always)]
#[must_use]
pub fn acos(c: f32) -> u32 {
    let c = clamp(c, -1.0, 1.0);
    angle_of(c, ((1.0 - c) * (1.0 + c)).sqrt())
}

/// `e^x`, relative error at most 2e-7; `x` is limited to -87..=88.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    let x = clamp(x, -87.0, 88.0);
    let n = round_to_i32(x * LOG2_E);
    let r = (x - n as f32 * LN_2_HIGH) - n as f32 * LN_2_LOW;
    let p = 0.166_665_78 + r * (0.041_666_556 + r * (0.008_363_173 + r * 0.001_392_617_6));
    let e = 1.0 + (r + r * r * (0.5 + r * p));
    e * f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// Natural logarithm of a positive normal number, error at most 1.2e-7 + 1.2e-7 of the value.
#[inline(always)]
#[must_use]
pub fn ln(x: f32) -> f32 {
    // The mantissa goes to sqrt(1/2)..sqrt(2), so that numbers next to 1 lose nothing.
    const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
    let shifted = (x.to_bits() as i32).wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted >> 23) as f32;
    let mantissa = (shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS);
    let f = f32::from_bits(mantissa as u32) - 1.0;
    // In pairs, not by Horner's rule: the chain of dependent operations is a third as long.
    let square = f * f;
    let low = (0.333_333_3 + f * -0.250_003_07) + square * (0.200_010_45 + f * -0.166_412_82);
    let high = (0.142_144_96 + f * -0.129_981_83) + square * (0.126_223_22 + f * -0.079_027_47);
    let p = low + square * square * high;
    let tail = square * f * p + exponent * LN_2_LOW;
    exponent * LN_2_HIGH + (f + (tail - 0.5 * square))
}

/// ln 2 cut to 9 bits, so that small integers times it are exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
/// What is missing in [`LN_2_HIGH`].
const LN_2_LOW: f32 = -0.000_212_194_44;

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{PI, TAU};

    /// All of a range of bit patterns, in steps.
    fn bits(from: f32, to: f32, step: usize) -> impl Iterator<Item = f32> {
        (from.to_bits()..=to.to_bits())
            .step_by(step)
            .map(f32::from_bits)
    }

    #[test]
    fn sin_cos_is_that_of_f64() {
        let angles = (0..1 << 22).map(|k: u32| k.wrapping_mul(1023)).chain([
            1,
            u32::MAX,
            QUARTER_TURN / 2 - 1,
            QUARTER_TURN / 2,
        ]);
        let mut worst = 0.0_f64;
        for angle in angles {
            let (s, c) = sin_cos(angle);
            let exact = (f64::from(angle) / 4_294_967_296.0 * TAU).sin_cos();
            worst = worst.max((f64::from(s) - exact.0).abs());
            worst = worst.max((f64::from(c) - exact.1).abs());
        }
        assert!(worst <= 1.2e-7, "{worst:e}");
    }

    #[test]
    fn sin_cos_is_exact_on_the_axes() {
        let expected = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)];
        for (quarter, expected) in (0..).zip(expected) {
            assert_eq!(sin_cos(QUARTER_TURN.wrapping_mul(quarter)), expected);
        }
    }

    #[test]
    fn angle_of_is_that_of_f64() {
        let mut worst = 0.0_f64;
        for k in 0..2_000_000_u32 {
            let direction = f64::from(k) * TAU / 2_000_000.0;
            let size = 2_f64.powi((k % 101) as i32 - 50);
            let (dx, dy) = (
                (direction.cos() * size) as f32,
                (direction.sin() * size) as f32,
            );
            let exact = f64::from(dy).atan2(f64::from(dx)) / TAU * 4_294_967_296.0;
            let miss = angle_of(dx, dy).wrapping_sub(exact as i64 as u32) as i32;
            worst = worst.max(f64::from(miss).abs() * TAU / 4_294_967_296.0);
        }
        assert!(worst <= 3e-7, "{worst:e}");
    }

    #[test]
    fn angle_of_is_exact_on_the_axes() {
        for size in [1e-18, 0.3, 1.0, 1e18] {
            assert_eq!(angle_of(size, 0.0), 0);
            assert_eq!(angle_of(0.0, size), QUARTER_TURN);
            assert_eq!(angle_of(-size, 0.0), HALF_TURN);
            assert_eq!(angle_of(0.0, -size), 3 << 30);
        }
        assert_eq!(angle_of(0.0, 0.0), 0);
    }

    #[test]
    fn acos_is_that_of_f64() {
        for k in -1000..=1000 {
            let c = k as f32 / 1000.0;
            let is = f64::from(acos(c)) / 4_294_967_296.0 * TAU;
            assert!((is - f64::from(c).acos()).abs() < 1e-6, "{c}");
        }
        assert_eq!(
            [acos(1.0), acos(-1.0), acos(0.0)],
            [0, HALF_TURN, QUARTER_TURN]
        );
        assert!((f64::from(RADIANS_PER_UNIT) * 2_147_483_648.0 - PI).abs() < 2e-7);
    }

    #[test]
    fn exp_is_that_of_f64() {
        let mut worst = 0.0_f64;
        let sizes = [0.0].into_iter().chain(bits(1e-9, 87.0, 997));
        for x in sizes.flat_map(|x| [x, -x]) {
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst <= 2e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e9).to_bits(), exp(-87.0).to_bits());
        assert!(exp(1e9).is_finite());
    }

    #[test]
    fn ln_is_that_of_f64() {
        let mut worst = 0.0_f64;
        for x in bits(f32::MIN_POSITIVE, f32::MAX, 1009).chain(bits(0.5, 2.0, 13)) {
            let exact = f64::from(x).ln();
            worst = worst.max((f64::from(ln(x)) - exact).abs() / (1.0 + exact.abs()));
        }
        assert!(worst <= 1.2e-7, "{worst:e}");
        assert_eq!(ln(1.0), 0.0);
        // Next to 1 the relative error counts too.
        for x in bits(0.99, 1.01, 7) {
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 2e-7 * exact.abs());
        }
    }

    #[test]
    fn rounding_is_to_even_in_its_whole_range() {
        for x in bits(0.0, 4_194_303.5, 1013).flat_map(|x| [x, -x]) {
            assert_eq!(round_to_i32(x), x.round_ties_even() as i32, "{x}");
        }
        for x in bits(0.0, 2_147_483_520.0, 1013).flat_map(|x| [x, -x]) {
            assert_eq!(round_wide_to_i32(x), x.round_ties_even() as i32, "{x}");
        }
    }

    #[test]
    fn selects_limit() {
        assert_eq!([min(1.0, 2.0), max(1.0, 2.0), abs(-3.0)], [1.0, 2.0, 3.0]);
        assert_eq!(clamp(-1.0, 0.0, 2.0), 0.0);
        assert_eq!(clamp(3.0, 0.0, 2.0), 2.0);
        assert_eq!(clamp(1.5, 0.0, 2.0), 1.5);
    }
}
