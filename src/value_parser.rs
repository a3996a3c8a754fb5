//! Readers of flags' values which say what is allowed in words, and what of a value may be shown. A value that a role
//! would refuse when it starts is refused here already, where a settings file is checked too.

use std::ffi::OsStr;
use std::ops::RangeInclusive;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use store::url::DatabaseUrl;
use transport::limits::MAX_NAME_BYTES;

/// Reads a whole number within bounds.
pub(crate) fn within<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let (least, most) = (bounds.start(), bounds.end());
        let out = || format!("{text} is not from {least} to {most}");
        let number: i128 = text
            .parse()
            .map_err(|_| format!("a whole number from {least} to {most} is expected"))?;
        let number = u64::try_from(number).map_err(|_| out())?;
        if !bounds.contains(&number) {
            return Err(out());
        }
        T::try_from(number).map_err(|_| out())
    }
}

/// Reads the name of a role's process.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    match (1..=MAX_NAME_BYTES).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{} bytes are not from 1 to {MAX_NAME_BYTES}",
            text.len()
        )),
    }
}

/// Reads the URL of a database, and never repeats it: it may hold a password.
#[derive(Clone, Copy)]
pub(crate) struct UrlParser;

impl TypedValueParser for UrlParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        let refused = |why: &str| {
            let mut command = command.clone();
            command.error(ErrorKind::ValueValidation, format!("database-url: {why}"))
        };
        let text = value
            .to_str()
            .ok_or_else(|| refused("the database's URL is not UTF-8"))?;
        DatabaseUrl::parse(text).map_err(|error| refused(&error.to_string()))?;
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_within_its_bounds_and_its_type() {
        let read = within::<u32>(1..=10_000_000_000);
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("4294967295"), Ok(u32::MAX));
        for out in ["0", "-1", "4294967296", "10000000001"] {
            let said = format!("{out} is not from 1 to 10000000000");
            assert_eq!(read(out), Err(said));
        }
        for none in ["", "1.5", "ten"] {
            let said = "a whole number from 1 to 10000000000 is expected".to_owned();
            assert_eq!(read(none), Err(said), "{none}");
        }
    }
}
