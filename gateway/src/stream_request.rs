//! What clients of the live stream ask for: in the query of the request, and in messages.

use serde::Deserialize;
use serde::de::{Error, Unexpected};

use crate::view_setting::{EventFilter, Wish};

/// A client's message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClientMessage {
    /// Another view.
    View(Wish),
    /// Asks for a `pong`.
    Ping,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Wire {
    View {
        #[serde(default)]
        bounds_m: Option<[f64; 4]>,
        #[serde(default)]
        max_entities: Option<u32>,
        #[serde(default)]
        rate_hz: Option<u32>,
        #[serde(default)]
        events: Option<EventFilter>,
    },
    // With braces: of a unit variant, serde takes whatever fields there are.
    Ping {},
}

/// A message means nothing.
#[derive(Debug, thiserror::Error)]
#[error("not a message of this protocol: {0}")]
pub struct MessageError(#[from] serde_json::Error);

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`MessageError`] where it means nothing, or says more than a message of its type may.
    pub fn parse(text: &str) -> Result<ClientMessage, MessageError> {
        // Serde would take an array for a tag and its fields.
        if text.trim_start().starts_with('[') {
            return Err(serde_json::Error::invalid_type(Unexpected::Seq, &"an object").into());
        }
        Ok(match serde_json::from_str(text)? {
            Wire::Ping {} => ClientMessage::Ping,
            Wire::View {
                bounds_m,
                max_entities,
                rate_hz,
                events,
            } => ClientMessage::View(Wish {
                bounds_m,
                max_entities,
                rate_hz,
                events: events.unwrap_or_default(),
            }),
        })
    }
}

/// Where the events of a stream begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// First events wanted: seq in the log `sim` and in the log `system`; `None` for what happens from now on.
    pub seqs: [Option<u64>; 2],
    /// The newest epoch that the client has heard of: what of its events is void it wants again.
    pub epoch: Option<u32>,
}

/// What the query of a request for a stream says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamQuery {
    /// The first view.
    pub wish: Wish,
    /// Where the events begin.
    pub from: Resume,
    /// A ticket in place of a token.
    pub ticket: Option<String>,
}

/// A parameter of the query is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No parameter has that name, or it stands there twice.
    #[error("`{name}` is no parameter of a stream, or is there twice")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// Its value means nothing.
    #[error("the value means nothing; {allowed}")]
    Value {
        /// Name of the parameter.
        name: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
}

impl QueryError {
    /// The offending parameter.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            QueryError::Unknown { name } => name,
            QueryError::Value { name, .. } => name,
        }
    }
}

impl StreamQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`] for the first parameter that is wrong.
    pub fn parse(query: &str) -> Result<StreamQuery, QueryError> {
        let mut parsed = StreamQuery::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(QueryError::Unknown { name: name.into() });
            }
            parsed.put(&name, &value)?;
            seen.push(name);
        }
        Ok(parsed)
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), QueryError> {
        let wrong = |name, allowed| QueryError::Value { name, allowed };
        match name {
            "bounds_m" => {
                let edges: Vec<f64> = value.split(',').map_while(|m| m.parse().ok()).collect();
                let is_four = value.split(',').count() == 4;
                let edges = edges.try_into().ok().filter(|_| is_four);
                let allowed = "four numbers with commas between them: west, south, east, north";
                self.wish.bounds_m = Some(edges.ok_or(wrong("bounds_m", allowed))?);
            }
            "max_entities" => {
                let most = value.parse().ok();
                self.wish.max_entities = Some(most.ok_or(wrong("max_entities", "a whole number"))?);
            }
            "rate_hz" => {
                let rate = value.parse().ok();
                self.wish.rate_hz = Some(rate.ok_or(wrong("rate_hz", "a whole number"))?);
            }
            "events" => {
                let filter = EventFilter::from_name(value);
                self.wish.events =
                    filter.ok_or(wrong("events", "none, lifecycle, system or all"))?;
            }
            "from_event" => {
                let seq = value.parse().ok().filter(|seq| *seq > 0);
                self.from.seqs[0] = Some(seq.ok_or(wrong("from_event", "a seq, from 1 on"))?);
            }
            "from_system_event" => {
                let seq = value.parse().ok().filter(|seq| *seq > 0);
                self.from.seqs[1] =
                    Some(seq.ok_or(wrong("from_system_event", "a seq, from 1 on"))?);
            }
            "from_epoch" => {
                let epoch = value.parse().ok();
                self.from.epoch = Some(epoch.ok_or(wrong("from_epoch", "a whole number"))?);
            }
            "ticket" => self.ticket = Some(value.to_owned()),
            _ => return Err(QueryError::Unknown { name: name.into() }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_message_says_only_what_differs_from_the_defaults() {
        let parse = |text| ClientMessage::parse(text).unwrap();
        assert_eq!(
            parse(r#"{"type":"view"}"#),
            ClientMessage::View(Wish::default())
        );
        let nothing =
            r#"{"type":"view","bounds_m":null,"max_entities":null,"rate_hz":null,"events":null}"#;
        assert_eq!(parse(nothing), ClientMessage::View(Wish::default()));
        let all = r#"{"type":"view","bounds_m":[0,-1.5,10,20],"max_entities":7,"rate_hz":3,"events":"all"}"#;
        let wish = Wish {
            bounds_m: Some([0.0, -1.5, 10.0, 20.0]),
            max_entities: Some(7),
            rate_hz: Some(3),
            events: EventFilter::All,
        };
        assert_eq!(parse(all), ClientMessage::View(wish));
        assert_eq!(parse(r#"{"type":"ping"}"#), ClientMessage::Ping);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "nonsense",
            r#"{"type":"dance"}"#,
            r#"{"type":"view","max_entitties":1}"#,
            r#"{"type":"view","max_entities":-1}"#,
            r#"{"type":"view","max_entities":1.5}"#,
            r#"{"type":"view","bounds_m":[1,2,3]}"#,
            r#"{"type":"view","events":"some"}"#,
            r#"{"type":"ping"} {"type":"ping"}"#,
            r#"{"type":"ping","colour":"red"}"#,
            r#"["ping"]"#,
            r#" ["view",null,5,1,"all"]"#,
        ] {
            assert!(ClientMessage::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_query_names_the_first_view_and_where_events_begin() {
        let query = "bounds_m=1,2,3,4.5&max_entities=9&rate_hz=60&events=all&from_event=7&from_system_event=1&from_epoch=3&ticket=a%2Bb";
        let parsed = StreamQuery::parse(query).unwrap();
        assert_eq!(parsed.wish.bounds_m, Some([1.0, 2.0, 3.0, 4.5]));
        assert_eq!(
            (parsed.wish.max_entities, parsed.wish.rate_hz),
            (Some(9), Some(60))
        );
        assert_eq!(parsed.wish.events, EventFilter::All);
        let from = Resume {
            seqs: [Some(7), Some(1)],
            epoch: Some(3),
        };
        assert_eq!((parsed.from, parsed.ticket), (from, Some("a+b".to_owned())));
        assert_eq!(StreamQuery::parse(""), Ok(StreamQuery::default()));
    }

    #[test]
    fn a_query_that_means_nothing_is_refused_by_its_parameter() {
        for (query, field) in [
            ("bounds_m=1,2,3", "bounds_m"),
            ("bounds_m=1,2,3,4,x", "bounds_m"),
            ("bounds_m=1,2,3,x", "bounds_m"),
            ("rate_hz=fast", "rate_hz"),
            ("max_entities=-1", "max_entities"),
            ("events=some", "events"),
            ("from_event=0", "from_event"),
            ("from_system_event=x", "from_system_event"),
            ("from_epoch=-1", "from_epoch"),
            ("colour=red", "colour"),
            ("rate_hz=1&rate_hz=2", "rate_hz"),
        ] {
            let refused = StreamQuery::parse(query).unwrap_err();
            assert_eq!(refused.field(), field);
        }
    }
}
