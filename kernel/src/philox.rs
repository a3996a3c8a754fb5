//! Random numbers that are functions of what they are for, not of when or where they are drawn.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The key is
//! the simulation's seed, the counter is (entity or site, purpose, index). There is no generator
//! state, so neither the order of rows nor their placement can show in a draw.

/// What a draw is for. Codes are part of the model: changing one changes every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Operating time of a machine up to its next fault.
    Fault = 1,
    /// Duration of a machine's repair.
    Repair = 2,
    /// Charge of a machine at creation.
    InitialCharge = 3,
    /// Shape of a generated site; subject is the site.
    Layout = 4,
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;
/// ln 2 in units of 2^-32.
const LN_2_Q32: u64 = 2_977_044_472;
/// Binary digits of a logarithm behind the point; 48 resolve `-ln u` at the u next to 1 to 1 in 10^4.
const LOG_DIGITS: u32 = 48;
/// Longest time that [`exponential_ticks`] gives, so that adding it to a present tick cannot wrap.
pub const MAX_DRAWN_TICKS: u32 = u32::MAX / 2;

/// The block function: four random words of a counter and a key.
#[inline]
#[must_use]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut x0, mut x1, mut x2, mut x3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p0 = u64::from(x0) * u64::from(MULTIPLIERS[0]);
        let p1 = u64::from(x2) * u64::from(MULTIPLIERS[1]);
        [x0, x1, x2, x3] = [
            (p1 >> 32) as u32 ^ x1 ^ k0,
            p1 as u32,
            (p0 >> 32) as u32 ^ x3 ^ k1,
            p0 as u32,
        ];
        k0 = k0.wrapping_add(KEY_STEPS[0]);
        k1 = k1.wrapping_add(KEY_STEPS[1]);
    }
    [x0, x1, x2, x3]
}

/// The four words of draw number `index` for an entity or a site.
#[inline]
#[must_use]
pub fn draw(seed: u64, subject: u32, purpose: Purpose, index: u64) -> [u32; 4] {
    philox4x32(
        [subject, purpose as u32, index as u32, (index >> 32) as u32],
        [seed as u32, (seed >> 32) as u32],
    )
}

/// A number strictly between 0 and 1 of a random word.
///
/// It uses the word's top 23 bits: `(x + 0.5) * 2^-32` of all 32 would round to 1 for the last words,
/// while `(x >> 9) + 0.5` is exact.
#[inline(always)]
#[must_use]
pub fn uniform(word: u32) -> f32 {
    const UNIT: f32 = 1.0 / 8_388_608.0;
    ((word >> 9) as f32 + 0.5) * UNIT
}

/// An integer in `0..bound` of a random word, by multiplication; its bias is below `bound * 2^-32`.
#[inline(always)]
#[must_use]
pub fn below(word: u32, bound: u32) -> u32 {
    ((u64::from(word) * u64::from(bound)) >> 32) as u32
}

/// Ticks to the next event of a Poisson process: `ceil(-ln(u) mean / tick)`, in
/// 1..=[`MAX_DRAWN_TICKS`].
///
/// The logarithm is an integer one. A 24-bit `u` could not tell a mean of 50 h in ticks of 5 ms from
/// many shorter ones, and an f32 `ln` has no digits left where `u` is next to 1.
///
/// # Panics
/// If `tick_ms` is 0.
#[must_use]
pub fn exponential_ticks(
    seed: u64,
    subject: u32,
    purpose: Purpose,
    index: u64,
    mean_s: u32,
    tick_ms: u32,
) -> u32 {
    assert!(tick_ms > 0, "a tick lasts");
    let [word, ..] = draw(seed, subject, purpose, index);
    // Below 2^54 * 2^42: neither product leaves 128 bits.
    let nepers_q48 = (u128::from(minus_log2_q48(word)) * u128::from(LN_2_Q32)) >> 32;
    let ticks = (nepers_q48 * u128::from(mean_s) * 1_000)
        .div_ceil(u128::from(tick_ms) << LOG_DIGITS)
        .max(1);
    u32::try_from(ticks).map_or(MAX_DRAWN_TICKS, |t| t.min(MAX_DRAWN_TICKS))
}

/// `-log2((word + 0.5) 2^-32)` in units of 2^-48, by squaring the mantissa once a digit.
fn minus_log2_q48(word: u32) -> u64 {
    // u = odd * 2^-33, exactly.
    let odd = (u64::from(word) << 1) | 1;
    let exponent = odd.ilog2();
    // In [1, 2), in units of 2^-63.
    let mut mantissa = odd << (63 - exponent);
    let mut fraction = 0_u64;
    for _ in 0..LOG_DIGITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carry = (square >> 64) as u64;
        fraction = (fraction << 1) | carry;
        mantissa = (square >> carry) as u64;
    }
    (u64::from(33 - exponent) << LOG_DIGITS) - fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        // Random123 1.14, tests/kat_vectors, philox4x32 10.
        let cases = [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn counter_and_key_are_laid_out_as_the_model_says() {
        let seed = 0x299f_31d0_a409_3822;
        let index = 0x0370_7344_1319_8a2e;
        assert_eq!(
            draw(seed, 5, Purpose::Repair, index),
            philox4x32([5, 2, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0])
        );
    }

    #[test]
    fn uniform_never_is_zero_or_one() {
        assert!(uniform(0) > 0.0);
        assert!(uniform(u32::MAX) < 1.0);
        assert_eq!(uniform(1 << 31), 0.5 + 0.5 / 8_388_608.0);
    }

    #[test]
    fn below_stays_below() {
        assert_eq!(below(u32::MAX, 7), 6);
        assert_eq!(below(0, 7), 0);
        assert_eq!(below(1 << 31, 7), 3);
    }

    #[test]
    fn the_integer_logarithm_is_that_of_f64() {
        let edges = [0, 1, 2, 3, u32::MAX, u32::MAX - 1, 1 << 31, (1 << 31) - 1];
        let spread = (0..100_000_u32).map(|k| k.wrapping_mul(2_654_435_761));
        for word in edges.into_iter().chain(spread) {
            // Of 1 - u where u is near 1, so that the expectation keeps its digits.
            let rest = (f64::from(!word) + 0.5) * 2_f64.powi(-32);
            let expected = -(-rest).ln_1p() / std::f64::consts::LN_2;
            let is = minus_log2_q48(word) as f64 * 2_f64.powi(-48);
            assert!((is - expected).abs() < 1e-13 + 1e-13 * expected, "{word}");
        }
    }

    #[test]
    fn drawn_ticks_saturate() {
        assert_eq!(
            exponential_ticks(1, 1, Purpose::Fault, 0, 0, 20),
            1,
            "a mean of nothing still takes a tick"
        );
        assert_eq!(
            exponential_ticks(1, 1, Purpose::Fault, 0, u32::MAX, 5),
            MAX_DRAWN_TICKS
        );
    }
}
