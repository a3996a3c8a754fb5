//! An event as clients read it.

use kernel::command::Rejection;
use kernel::event::kind;
use kernel::rows::State;
use serde_json::{Map, Value, json};
use transport::control::{Log, LogEvent, event_kind};

/// Name of an event's kind in the API.
#[must_use]
pub fn kind_name(code: u32) -> &'static str {
    match code {
        kind::TRANSITION => "transition",
        kind::COMMAND => "command",
        kind::COMMAND_REJECTED => "command_rejected",
        kind::FAULT => "fault",
        kind::REPAIRED => "repaired",
        kind::STAND_OFF => "stand_off",
        event_kind::LIFECYCLE => "lifecycle",
        event_kind::SYSTEM => "system",
        _ => "unknown",
    }
}

/// An event as a JSON object: `log`, `seq`, `tick`, `kind`, in the log `sim` also `site` and `entities`, and
/// `detail`, whose fields are the kind's own.
#[must_use]
pub fn to_json(event: &LogEvent) -> Map<String, Value> {
    let mut json = Map::new();
    let mut put = |name: &str, value: Value| json.insert(name.to_owned(), value);
    put("log", event.log.name().into());
    put("seq", event.seq.into());
    put("tick", event.tick.into());
    put("kind", kind_name(event.kind).into());
    if event.log == Log::Sim {
        put("site", event.site.into());
        put("entities", event.entities.clone().into());
    }
    put("detail", detail(event));
    json
}

fn detail(event: &LogEvent) -> Value {
    match event.kind {
        kind::TRANSITION => {
            let state = State::ALL.get(event.detail as usize);
            json!({"state": state.map_or("unknown", |state| state.name())})
        }
        kind::COMMAND => json!({"command_seq": event.detail}),
        kind::COMMAND_REJECTED => {
            json!({"command_seq": event.detail, "reason": rejection(event.reason)})
        }
        kind::FAULT => json!({"repair_tick": event.detail}),
        kind::STAND_OFF => json!({"other": event.detail}),
        event_kind::LIFECYCLE | event_kind::SYSTEM => {
            serde_json::from_str(&event.text).unwrap_or_else(|_| json!({}))
        }
        _ => json!({}),
    }
}

fn rejection(code: u32) -> &'static str {
    let known = [
        Rejection::Faulted,
        Rejection::OutsideSite,
        Rejection::NotHeld,
        Rejection::AlreadyCharging,
        Rejection::Malformed,
    ];
    let named = known.into_iter().find(|r| *r as u32 == code);
    named.map_or("unknown", Rejection::name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn every_kind_says_what_it_means() {
        let of = |code, detail, reason| {
            let event = LogEvent {
                kind: code,
                detail,
                reason,
                ..sample::event(Log::Sim, 9)
            };
            Value::Object(to_json(&event)).to_string()
        };
        assert_eq!(
            of(kind::TRANSITION, 2, 0),
            r#"{"log":"sim","seq":9,"tick":3,"kind":"transition","site":0,"entities":[1,2,3],"detail":{"state":"working"}}"#
        );
        assert!(of(kind::COMMAND, 7, 0).ends_with(r#""detail":{"command_seq":7}}"#));
        assert!(
            of(kind::COMMAND_REJECTED, 7, 2)
                .ends_with(r#""detail":{"command_seq":7,"reason":"outside_site"}}"#)
        );
        assert!(of(kind::FAULT, 80, 0).ends_with(r#""detail":{"repair_tick":80}}"#));
        assert!(of(kind::STAND_OFF, 4, 0).ends_with(r#""detail":{"other":4}}"#));
        let system = Value::Object(to_json(&sample::event(Log::System, 4)));
        assert_eq!(
            system.to_string(),
            r#"{"log":"system","seq":4,"tick":1,"kind":"lifecycle","detail":{"status":"running"}}"#
        );
    }
}
