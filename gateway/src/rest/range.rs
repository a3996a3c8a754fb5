//! Numbers in their ranges, and the problem of those outside.

use crate::problem::Problem;

/// A number inside `min..=max`, as the type it is used in.
///
/// # Errors
/// [`crate::problem::ProblemKind::Invalid`] of the field.
pub(crate) fn within<T: TryFrom<u64>>(
    field: &str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<T, Problem> {
    let inside = (min..=max).contains(&value);
    let fitting = inside.then(|| T::try_from(value).ok()).flatten();
    fitting.ok_or_else(|| out_of(field, value, min, max))
}

/// The problem of a number outside its range.
pub(crate) fn out_of(
    field: &str,
    value: impl std::fmt::Display,
    min: impl std::fmt::Display,
    max: impl std::fmt::Display,
) -> Problem {
    Problem::invalid(
        field,
        format!("`{field}`: {value} is not from {min} to {max}"),
        format!("{min} to {max}"),
    )
}

/// A text of 1 to `max` bytes without control characters.
///
/// # Errors
/// [`crate::problem::ProblemKind::Invalid`] of the field.
pub(crate) fn label(field: &str, text: &str, max: usize) -> Result<(), Problem> {
    let allowed = format!("1 to {max} bytes of UTF-8 without control characters");
    if text.is_empty() || text.len() > max {
        let detail = format!("`{field}` has {} bytes", text.len());
        return Err(Problem::invalid(field, detail, allowed));
    }
    if text.chars().any(char::is_control) {
        let detail = format!("`{field}` holds a control character");
        return Err(Problem::invalid(field, detail, allowed));
    }
    Ok(())
}
