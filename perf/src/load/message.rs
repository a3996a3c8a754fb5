//! Messages of the live stream, read as far as is asked for: mostly their heads.

use std::borrow::Cow;

use kernel::aggregate::Aggregate;
use serde::Deserialize;

use crate::load::api::Resource;
use crate::load::sums::Sums;

/// How much of a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What order and times need.
    Head,
    /// Everything.
    All,
}

/// A message, as far as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// The first of a connection.
    Hello(Box<Hello>),
    /// A tick.
    Tick(Box<Tick>),
    /// An event of a log.
    Event {
        /// Which log.
        log: Log,
        /// Its number there.
        seq: u64,
    },
    /// Events of a log that cannot be had any more.
    EventsMissing {
        /// Which log.
        log: Log,
        /// The last of them.
        to_seq: u64,
    },
    /// Frames that were not sent.
    Lagged {
        /// How many.
        skipped: u64,
    },
    /// A request of this client was refused.
    Refused {
        /// Why, by code.
        code: String,
    },
    /// One that says nothing that is checked here.
    Other,
}

/// Each log is numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Log {
    /// What happened on the farm.
    Sim,
    /// What happened to the simulation.
    System,
}

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hello {
    /// Of who says it; 0 where it does not say.
    pub(crate) epoch: u64,
    /// First event of the log `sim` that follows.
    pub(crate) next_event: Option<u64>,
    /// First event of the log `system` that follows.
    pub(crate) next_system_event: Option<u64>,
    /// Where those began that took the simulation over, oldest first.
    pub(crate) epochs: Vec<TakeOver>,
    /// The simulation.
    pub(crate) simulation: Resource,
}

/// Where an orchestrator that took the simulation over began: what an older one said from there on is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct TakeOver {
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Its first event of the log `sim`.
    pub(crate) from_event: u64,
    /// Its first event of the log `system`.
    pub(crate) from_system_event: u64,
}

/// One tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Of who says it; 0 where it does not say.
    pub(crate) epoch: u64,
    /// The tick.
    pub(crate) tick: u64,
    /// UNIX time in us at which it was due.
    pub(crate) started_at_us: Option<u64>,
    /// UNIX time in us at which the message was made.
    pub(crate) sent_at_us: Option<u64>,
    /// Machines of the simulation.
    pub(crate) entities_total: u64,
    /// Machines that the message says, or shows, that it holds; `None` where it was not read so far.
    pub(crate) shown: Option<u64>,
    /// Sums, where read.
    pub(crate) aggregate: Option<Box<Aggregate>>,
    /// Machines, where read.
    pub(crate) machines: Option<Vec<Machine>>,
}

/// A machine of a tick, as far as it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Machine {
    /// Its id.
    pub(crate) id: u32,
    /// East, m.
    pub(crate) x: f64,
    /// North, m.
    pub(crate) y: f64,
}

/// Every field of every type of message that is read here.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    message: Cow<'a, str>,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    epochs: Vec<TakeOver>,
    tick: Option<u64>,
    started_at_us: Option<u64>,
    sent_at_us: Option<u64>,
    entities_total: Option<u64>,
    aggregates: Option<Sums<'a>>,
    simulation: Option<Resource>,
    next_event: Option<u64>,
    next_system_event: Option<u64>,
    to_seq: Option<u64>,
    log: Option<Log>,
    seq: Option<u64>,
    skipped: Option<u64>,
    code: Option<String>,
}

/// What stands before the machines of a tick, which are last and most of it.
const BEFORE_MACHINES: &str = ",\"entities\":[";
/// How a tick begins.
const TICK_BEGIN: &str = "{\"type\":\"tick\",";

/// The machines of a tick.
#[derive(Deserialize)]
struct Machines {
    entities: Vec<Machine>,
}

/// Reads a text message. The head of a tick is what stands before its machines; one that has something
/// after them is read whole.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_text(text: &str, depth: Depth) -> Result<Message, String> {
    let split = split(text);
    let head = split.as_ref().map_or(text, |(head, _)| head);
    let fields: Fields<'_> = serde_json::from_str(head).map_err(|error| error.to_string())?;
    let want = |value: Option<u64>, name: &str| value.ok_or_else(|| format!("it has no {name}"));
    Ok(match fields.message.as_ref() {
        "hello" => Message::Hello(Box::new(Hello {
            epoch: fields.epoch,
            next_event: fields.next_event,
            next_system_event: fields.next_system_event,
            epochs: fields.epochs,
            simulation: fields.simulation.ok_or("it has no simulation")?,
        })),
        "tick" => {
            let machines = match (&split, depth) {
                (Some(_), Depth::Head) => None,
                (Some((_, list)), Depth::All) => Some(machines(list)?),
                (None, _) => Some(read_machines(text)?),
            };
            Message::Tick(Box::new(tick(&fields, machines)?))
        }
        "event" => Message::Event {
            log: fields.log.ok_or("it has no log")?,
            seq: want(fields.seq, "seq")?,
        },
        "events_missing" => Message::EventsMissing {
            log: fields.log.ok_or("it has no log")?,
            to_seq: want(fields.to_seq, "to_seq")?,
        },
        "lagged" => Message::Lagged {
            skipped: want(fields.skipped, "skipped")?,
        },
        "error" => Message::Refused {
            code: fields.code.unwrap_or_default(),
        },
        _ => Message::Other,
    })
}

/// A tick as the object before its machines and their list, where they are its end.
fn split(text: &str) -> Option<(String, &str)> {
    if !(text.starts_with(TICK_BEGIN) && text.ends_with("]}")) {
        return None;
    }
    // Nothing before the machines is long.
    let at = text.find(BEFORE_MACHINES)?;
    let list_at = at + BEFORE_MACHINES.len() - 1;
    Some((format!("{}}}", &text[..at]), &text[list_at..text.len() - 1]))
}

fn machines(list: &str) -> Result<Vec<Machine>, String> {
    serde_json::from_str(list).map_err(|error| error.to_string())
}

fn read_machines(text: &str) -> Result<Vec<Machine>, String> {
    let read: Machines = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(read.entities)
}

fn tick(fields: &Fields<'_>, machines: Option<Vec<Machine>>) -> Result<Tick, String> {
    let want = |value: Option<u64>, name: &str| value.ok_or_else(|| format!("it has no {name}"));
    let sums = fields.aggregates.as_ref().ok_or("it has no aggregates")?;
    Ok(Tick {
        epoch: fields.epoch,
        tick: want(fields.tick, "tick")?,
        started_at_us: fields.started_at_us,
        sent_at_us: fields.sent_at_us,
        entities_total: want(fields.entities_total, "entities_total")?,
        shown: machines.as_ref().map(|m| m.len() as u64),
        aggregate: Some(Box::new(sums.aggregate())),
        machines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::sums;
    use serde_json::json;

    fn tick_text() -> String {
        let head = json!({
            "type": "tick", "simulation_id": "x", "epoch": 2, "tick": 148, "sim_time_s": 7.4,
            "started_at_us": 10, "sent_at_us": 20,
            "aggregates": sums::json(3), "entities_total": 3,
            "entities": [{"id": 1, "x": 1.0, "y": 2.0, "state": "working"}],
        });
        head.to_string()
    }

    #[test]
    fn the_head_of_a_tick_says_what_the_whole_says_but_for_its_machines() {
        let Ok(Message::Tick(whole)) = read_text(&tick_text(), Depth::All) else {
            panic!("no tick");
        };
        let Ok(Message::Tick(head)) = read_text(&tick_text(), Depth::Head) else {
            panic!("no tick");
        };
        assert_eq!((whole.shown, head.shown), (Some(1), None));
        assert_eq!(
            (whole.tick, whole.epoch, whole.started_at_us),
            (148, 2, Some(10))
        );
        assert_eq!(whole.machines.as_ref().unwrap()[0].id, 1);
        let bare = Tick {
            shown: None,
            machines: None,
            ..*whole
        };
        assert_eq!(*head, bare);
    }

    #[test]
    fn other_messages_are_told_apart() {
        let read = |text| read_text(text, Depth::Head).unwrap();
        let event = r#"{"type":"event","log":"system","seq":9,"kind":"lifecycle","entities":[1]}"#;
        let (log, seq) = (Log::System, 9);
        let wanted = Message::Event { log, seq };
        assert_eq!(read(event), wanted);
        let missing = r#"{"type":"events_missing","log":"system","from_seq":3,"to_seq":8}"#;
        let wanted = Message::EventsMissing { log, to_seq: 8 };
        assert_eq!(read(missing), wanted);
        let lagged = read(r#"{"type":"lagged","skipped":12}"#);
        assert_eq!(lagged, Message::Lagged { skipped: 12 });
        let hello = read(
            r#"{"type":"hello","epoch":4,"world":{},"next_event":8,
                "epochs":[{"epoch":4,"from_tick":401,"from_event":7,"from_system_event":2}],
                "simulation":{"id":"s","entities":7,"tick_ms":20,"status":"running","tick":3}}"#,
        );
        let Message::Hello(hello) = hello else {
            panic!("{hello:?}");
        };
        assert_eq!((hello.epoch, hello.next_event), (4, Some(8)));
        assert_eq!(hello.simulation.entities, 7);
        let first = hello.epochs[0];
        assert_eq!(
            (first.epoch, first.from_event, first.from_system_event),
            (4, 7, 2)
        );
        assert_eq!(read(r#"{"type":"pong"}"#), Message::Other);
    }

    #[test]
    fn what_lacks_a_field_is_refused_by_its_name() {
        for (text, name) in [
            (r#"{"type":"event","log":"sim"}"#, "seq"),
            (r#"{"type":"lagged"}"#, "skipped"),
            (r#"{"type":"tick","tick":1}"#, "entities"),
            (r#"{"type":"tick","tick":1,"entities":[]}"#, "aggregates"),
            ("{", "EOF"),
        ] {
            let error = read_text(text, Depth::All).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
