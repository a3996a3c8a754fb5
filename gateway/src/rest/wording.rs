//! What serde says of a value that it cannot take, in words for people who do not write Rust.

use crate::problem::{Problem, ProblemKind};

/// What could be read, and is not what it should be.
pub(crate) fn misread(path: &str, said: &str) -> Problem {
    let wording = Wording::of(said);
    let field = field_at(path, wording.member.as_deref());
    // One that is missing, unknown or repeated is named in the words themselves.
    let detail = match (&wording.member, &field) {
        (None, Some(field)) => format!("`{field}`: {}", wording.detail),
        _ => wording.detail,
    };
    Problem {
        field,
        allowed: wording.allowed,
        ..Problem::new(ProblemKind::Invalid, detail)
    }
}

/// The field at a path, or a member of it.
pub(crate) fn field_at(path: &str, member: Option<&str>) -> Option<String> {
    // A path of `.` is the whole; `?` stands for what the reader could not tell.
    let path = path.trim_end_matches('?').trim_end_matches('.');
    let field = match member {
        // Of some members the path knows already.
        Some(member) if path != member && !path.ends_with(&format!(".{member}")) => {
            format!("{path}.{member}")
        }
        _ => path.to_owned(),
    };
    Some(field.trim_start_matches('.').to_owned()).filter(|field| !field.is_empty())
}

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
struct Wording {
    /// In words.
    detail: String,
    /// The field, where the value is an object of which one is missing, unknown or repeated.
    member: Option<String>,
    /// What it may be.
    allowed: Option<String>,
}

impl Wording {
    /// Of what serde says; what is not known is passed on as it is.
    fn of(said: &str) -> Wording {
        // Where in the text a value stands is of use where the text is broken, and not where it is named.
        let said = said.split(" at line ").next().unwrap_or(said);
        misnamed(said)
            .or_else(|| misfit(said))
            .or_else(|| unreadable(said))
            .unwrap_or_else(|| Wording {
                detail: said.to_owned(),
                member: None,
                allowed: None,
            })
    }
}

/// A field or a variant that is missing, unknown or repeated.
fn misnamed(said: &str) -> Option<Wording> {
    let name = said.split('`').nth(1)?.to_owned();
    let others = || {
        let expected = said.split_once(", expected ")?.1;
        let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        Some(names.join(", "))
    };
    let (detail, member, allowed) = if said.starts_with("missing field ") {
        (format!("`{name}` is missing"), Some(name), None)
    } else if said.starts_with("duplicate field ") {
        let detail = format!("`{name}` is given more than once");
        (detail, Some(name), Some("one value".to_owned()))
    } else if said.starts_with("unknown field ") {
        let allowed = others().unwrap_or_else(|| "no field".to_owned());
        let detail = format!("there is no field `{name}`; there are: {allowed}");
        (detail, Some(name), Some(allowed))
    } else if said.starts_with("unknown variant ") {
        let allowed = others()?;
        (
            format!("`{name}` is none of {allowed}"),
            None,
            Some(allowed),
        )
    } else {
        return None;
    };
    Some(Wording {
        detail,
        member,
        allowed,
    })
}

/// A value of another type, or out of the range of its own.
fn misfit(said: &str) -> Option<Wording> {
    let rest = (said.strip_prefix("invalid type: "))
        .or_else(|| said.strip_prefix("invalid value: "))
        .or_else(|| said.strip_prefix("invalid length "))?;
    let (given, expected) = rest.rsplit_once(", expected ")?;
    let given = match given {
        "map" => "an object",
        "sequence" => "an array",
        "unit value" => "null",
        // Numbers, truths and texts are quoted behind the name of their type.
        given => given[given.find(['`', '"']).unwrap_or(0)..].trim_matches('`'),
    };
    let allowed = type_in_words(expected);
    Some(Wording {
        detail: format!("{given} is not {allowed}"),
        member: None,
        allowed: Some(allowed),
    })
}

/// A text of a query that is to be a number or a truth.
fn unreadable(said: &str) -> Option<Wording> {
    let allowed = match said {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "a whole number of 0 or more"
        }
        "number too large to fit in target type" => "a smaller number",
        "number too small to fit in target type" => "a greater number",
        "invalid float literal" => "a number",
        "provided string was not `true` or `false`" => "true or false",
        _ => return None,
    };
    Some(Wording {
        detail: format!("it is not {allowed}"),
        member: None,
        allowed: Some(allowed.to_owned()),
    })
}

fn type_in_words(rust: &str) -> String {
    let unsigned = |bits: u32| format!("a whole number from 0 to {}", u64::MAX >> (64 - bits));
    match rust {
        "u8" => unsigned(8),
        "u16" => unsigned(16),
        "u32" => unsigned(32),
        // Every number is bounded more closely than by its type, which is told where it is one.
        "u64" | "usize" => "a whole number of 0 or more".to_owned(),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "i64" => format!("a whole number from {} to {}", i64::MIN, i64::MAX),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" => "an object".to_owned(),
        "a sequence" => "an array".to_owned(),
        // An object, which is told by the name of what it is read into.
        named if named.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only refusals are looked at")]
    struct Sample {
        count: Option<u32>,
        share: Option<f64>,
        flag: Option<bool>,
        texts: Option<Vec<String>>,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Small,
        VeryLarge,
    }

    fn said<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> Wording {
        Wording::of(&serde_json::from_str::<T>(json).unwrap_err().to_string())
    }

    #[test]
    fn members_are_named() {
        let missing = said::<Sample>("{}");
        assert_eq!(missing.detail, "`kind` is missing");
        assert_eq!(missing.member.as_deref(), Some("kind"));
        let unknown = said::<Sample>(r#"{"colour": 3}"#);
        assert_eq!(unknown.member.as_deref(), Some("colour"));
        let all = "count, share, flag, texts, kind";
        assert_eq!(unknown.allowed.as_deref(), Some(all));
        let twice = said::<Sample>(r#"{"kind": "small", "kind": "small"}"#);
        assert_eq!(twice.detail, "`kind` is given more than once");
        let variant = said::<Sample>(r#"{"kind": "odd"}"#);
        assert_eq!(variant.detail, "`odd` is none of small, very_large");
        assert_eq!(variant.member, None);
    }

    #[test]
    fn types_are_told_in_words() {
        for (json, detail) in [
            (
                r#"{"count": -4}"#,
                "-4 is not a whole number from 0 to 4294967295",
            ),
            (
                r#"{"count": 1.5}"#,
                "1.5 is not a whole number from 0 to 4294967295",
            ),
            (
                r#"{"count": "a `b`"}"#,
                r#""a `b`" is not a whole number from 0 to 4294967295"#,
            ),
            (r#"{"share": {}}"#, "an object is not a number"),
            (r#"{"flag": [1]}"#, "an array is not true or false"),
            (r#"{"texts": [true]}"#, "true is not a string"),
            ("3", "3 is not an object"),
        ] {
            let wording = said::<Sample>(json);
            assert_eq!(wording.detail, detail, "{json}");
            assert!(wording.allowed.is_some(), "{json}");
        }
    }

    #[test]
    fn what_is_not_known_is_passed_on() {
        let wording = Wording::of("the moon is full");
        assert_eq!(wording.detail, "the moon is full");
        assert_eq!(wording.allowed, None);
    }
}
