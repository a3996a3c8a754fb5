//! Readers of flags' values which say what is allowed in words, and what of a value may be shown. A value that a role
//! would refuse when it starts is refused here already, where a settings file is checked too.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};
use store::url::DatabaseUrl;
use transport::limits::MAX_NAME_BYTES;

/// Reads a whole number within bounds.
pub(crate) fn within<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let (least, most) = (bounds.start(), bounds.end());
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("a whole number from {least} to {most} is expected"))
    }
}

/// Reads an address to listen on. A name is none: it may mean several.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "IP:PORT is expected, as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// Reads the origin of pages, as a browser tells it. One that could be no page's would allow nothing, without a word.
pub(crate) fn parse_origin(text: &str) -> Result<String, String> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    let has_both = |(scheme, authority): (&str, &str)| {
        let is_authority = !authority.contains(['/', '?', '#', '@']);
        !scheme.is_empty() && !authority.is_empty() && is_authority
    };
    let is_origin = origin.split_once("://").is_some_and(has_both);
    is_origin.then(|| text.to_owned()).ok_or_else(|| {
        "SCHEME://HOST or SCHEME://HOST:PORT is expected, as https://farm.example".to_owned()
    })
}

/// Reads the name of a host, which has no port with it.
pub(crate) fn parse_host_name(text: &str) -> Result<String, String> {
    let is_address = text.parse::<IpAddr>().is_ok();
    let is_name = !text.is_empty() && !text.contains([':', '/', '?', '#', '@', '[', ']']);
    (is_address || is_name)
        .then(|| text.to_owned())
        .ok_or_else(|| "a host without scheme or port is expected, as farm.example".to_owned())
}

/// Reads the name of a role's process.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    match (1..=MAX_NAME_BYTES).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err(format!("1 to {MAX_NAME_BYTES} bytes are expected")),
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
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        let refused = |why: &str| {
            let mut error = Error::new(ErrorKind::ValueValidation).with_cmd(command);
            let flag = arg.map_or_else(|| "--database-url".to_owned(), Arg::to_string);
            error.insert(ContextKind::InvalidArg, ContextValue::String(flag));
            error.insert(ContextKind::Custom, ContextValue::String(why.to_owned()));
            error
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
        let said = "a whole number from 1 to 10000000000 is expected".to_owned();
        for wrong in ["0", "-1", "4294967296", "10000000001", "", "1.5", "ten"] {
            assert_eq!(read(wrong), Err(said.clone()), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_one_that_a_browser_could_tell() {
        for origin in ["https://farm.example", "http://[::1]:8080", "https://a.b/"] {
            assert_eq!(parse_origin(origin).as_deref(), Ok(origin));
        }
        for wrong in [
            "",
            "farm.example",
            "https://",
            "://a",
            "https://a/b",
            "https://u@a",
        ] {
            assert!(parse_origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_has_no_port_with_it() {
        for host in ["farm.example", "192.0.2.1", "fd00::1"] {
            assert_eq!(parse_host_name(host).as_deref(), Ok(host));
        }
        for wrong in [
            "",
            "farm.example:80",
            "http://farm.example",
            "[fd00::1]",
            "a/b",
        ] {
            assert!(parse_host_name(wrong).is_err(), "{wrong}");
        }
    }
}
