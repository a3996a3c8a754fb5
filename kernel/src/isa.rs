//! Which instruction set a law runs on, and how one formula is compiled for all of them.
//!
//! A law is written once, as a function of one row. [`vector_law!`](crate::vector_law) makes from it
//! a function over blocks of rows in four compiled forms: a scalar reference that calls the formula
//! once a row, and a loop that the compiler vectorises for the target's baseline, AVX2 and AVX-512.
//! All forms do the same IEEE operations in the same order, so their results are equal bit for bit;
//! this module never contracts a multiplication and an addition, and never estimates a reciprocal.
//!
//! The two `unsafe` calls are those of functions compiled for a feature, behind the question whether the
//! processor has it. The callee is safe code: its only requirement is that feature. The address sanitizer
//! finds nothing in the unit tests and in `tests/precision.rs`, which run every form that the processor has
//! over columns that are no multiple of a vector:
//!
//! ```text
//! RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p kernel --lib --test precision \
//!     --target x86_64-unknown-linux-gnu
//! ```

use std::fmt;
use std::str::FromStr;

/// A compiled form of the laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// The reference: one row a call, nothing vectorised.
    Scalar,
    /// What every processor of the target has: SSE2 on x86-64, the portable form elsewhere.
    Sse2,
    /// AVX2, 8 rows an instruction.
    Avx2,
    /// AVX-512 F, BW, DQ and VL, up to 16 rows an instruction.
    Avx512,
}

/// A name that is no instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("isa: unknown name; one of scalar, sse2, avx2, avx512 is expected")]
pub struct UnknownIsa;

impl Isa {
    /// Every form, slowest first.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Sse2, Isa::Avx2, Isa::Avx512];

    /// The widest form this processor runs.
    #[must_use]
    pub fn detect() -> Isa {
        Isa::available().last().unwrap_or(Isa::Scalar)
    }

    /// The forms this processor runs, slowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this processor runs it.
    #[inline]
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar | Isa::Sse2 => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }

    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Sse2 => "sse2",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or(UnknownIsa)
    }
}

/// Makes a function over blocks from a function of one row.
///
/// ```
/// #[inline(always)]
/// fn drift_row(gain: &f32, speed: f32, position: &mut f32) {
///     *position += *gain * speed;
/// }
/// kernel::vector_law! {
///     /// Moves every row.
///     pub fn drift(gain: &f32, speed: &[f32]; position: &mut [f32]) = drift_row;
/// }
/// let mut position = [1.0, 2.0];
/// drift(kernel::isa::Isa::detect(), &2.0, &[0.5, 0.25], &mut position);
/// assert_eq!(position, [2.0, 2.5]);
/// ```
///
/// The first parameter is shared by all rows; then come the columns that are read (passed to the row
/// function by value) and, behind the semicolon, those that are written (passed by `&mut`). The row
/// function must be `#[inline(always)]`, and use wrapping integer arithmetic: the check of a plain
/// `+` is a branch that keeps the loop from being vectorised in builds that check.
///
/// The function made takes the [`Isa`] first. It panics where the columns differ in length. A form
/// that the processor does not run is replaced by the baseline.
#[macro_export]
macro_rules! vector_law {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident(
            $shared:ident: &$Shared:ty $(, $input:ident: &[$Input:ty])* $(,)?;
            $($output:ident: &mut [$Output:ty]),+ $(,)?
        ) = $row:path;
    ) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name(
            isa: $crate::isa::Isa,
            $shared: &$Shared,
            $($input: &[$Input],)*
            $($output: &mut [$Output],)+
        ) {
            fn scalar($shared: &$Shared, $($input: &[$Input],)* $($output: &mut [$Output],)+) {
                #[inline(never)]
                fn one_row($shared: &$Shared, $($input: $Input,)* $($output: &mut $Output,)+) {
                    $row($shared, $($input,)* $($output,)+);
                }
                $crate::vector_law!(@rows one_row, $shared, ($($input)*), ($($output)+));
            }
            fn baseline($shared: &$Shared, $($input: &[$Input],)* $($output: &mut [$Output],)+) {
                $crate::vector_law!(@rows $row, $shared, ($($input)*), ($($output)+));
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($shared: &$Shared, $($input: &[$Input],)* $($output: &mut [$Output],)+) {
                $crate::vector_law!(@rows $row, $shared, ($($input)*), ($($output)+));
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($shared: &$Shared, $($input: &[$Input],)* $($output: &mut [$Output],)+) {
                $crate::vector_law!(@rows $row, $shared, ($($input)*), ($($output)+));
            }

            match isa {
                $crate::isa::Isa::Scalar => scalar($shared, $($input,)* $($output,)+),
                // Benefit: two to eight times the rows a second of the baseline form.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 if isa.is_available() => {
                    // SAFETY: the guard asked the processor for the feature the callee is compiled
                    // for; that is the callee's only requirement.
                    #[allow(unsafe_code)]
                    unsafe {
                        avx2($shared, $($input,)* $($output,)+);
                    }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512 if isa.is_available() => {
                    // SAFETY: as above, for the four AVX-512 features.
                    #[allow(unsafe_code)]
                    unsafe {
                        avx512($shared, $($input,)* $($output,)+);
                    }
                }
                _ => baseline($shared, $($input,)* $($output,)+),
            }
        }
    };
    (@rows $row:path, $shared:ident, ($($input:ident)*), ($first:ident $($output:ident)*)) => {{
        let rows = $first.len();
        $(assert_eq!($input.len(), rows, "columns of one block");)*
        $(assert_eq!($output.len(), rows, "columns of one block");)*
        for row in 0..rows {
            $row($shared, $($input[row],)* &mut $first[row], $(&mut $output[row],)*);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert_eq!("AVX2".parse::<Isa>(), Err(UnknownIsa));
    }

    #[test]
    fn the_reference_and_the_baseline_are_always_there() {
        let available: Vec<_> = Isa::available().collect();
        assert_eq!(available[..2], [Isa::Scalar, Isa::Sse2]);
        assert!(Isa::detect().is_available());
    }

    #[inline(always)]
    fn count_row(by: &u32, column: &mut u32) {
        *column = column.wrapping_add(*by);
    }
    vector_law! {
        fn count(by: &u32; column: &mut [u32]) = count_row;
    }

    #[test]
    fn a_form_the_processor_lacks_is_replaced() {
        for isa in Isa::ALL {
            let mut column = [1, u32::MAX, 7];
            count(isa, &2, &mut column);
            assert_eq!(column, [3, 1, 9], "{isa}");
        }
    }
}
