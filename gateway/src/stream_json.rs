//! Ticks as JSON, and every message that is JSON in both subprotocols.
//!
//! A tick's machines are written by hand into one buffer: they are most of the bytes, and their values are few
//! enough to be looked up.

use std::io::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use kernel::rows::State;
use kernel::view::RECORD_BYTES;
use serde_json::{Map, Value, json};
use transport::control::{EpochBegin, LogEvent, SimulationInfo};

use crate::view_setting::{Grant, ViewSetting};
use crate::view_tick::{Taken, ViewTick};

/// Bytes that a machine takes at most: every name, and the longest value of each.
const MAX_ENTITY_BYTES: usize = 160;

/// A machine as a view shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownRow {
    /// Its id.
    pub entity: u32,
    /// East in the world, 2^-16 m.
    pub x: i64,
    /// North in the world, 2^-16 m.
    pub y: i64,
    /// 256ths of a turn from east, counter-clockwise.
    pub heading: u8,
    /// Tenths of 1 m/s.
    pub speed: u8,
    /// 255ths of full.
    pub charge: u8,
    /// [`State`].
    pub state: u8,
}

/// Calls `with` for every machine that a setting shows: of the records it selects, those in its bounds.
pub fn for_each_row(tick: &ViewTick, setting: &ViewSetting, mut with: impl FnMut(ShownRow)) {
    let bounds = setting.tiles.map(|tiles| tiles.bounds_units());
    for taken in tick.select(setting) {
        let inside = bounds.filter(|bounds| !holds(*bounds, tick.box_in_world(taken.block)));
        for_each_of(tick, taken, |row| {
            if inside.is_none_or(|[west, south, east, north]| {
                (west..east).contains(&row.x) && (south..north).contains(&row.y)
            }) {
                with(row);
            }
        });
    }
}

/// Whether a box lies inside bounds, whose far edges are none of them.
fn holds(bounds: [i64; 4], inner: [i64; 4]) -> bool {
    let [west, south, east, north] = bounds;
    west <= inner[0] && south <= inner[1] && inner[2] < east && inner[3] < north
}

fn for_each_of(tick: &ViewTick, taken: Taken, mut with: impl FnMut(ShownRow)) {
    let [x0, y0, x1, y1] = tick.box_in_world(taken.block);
    let (width, height) = (x1 - x0, y1 - y0);
    let ids = &tick.index.entities[tick.index.blocks[taken.block].entities.clone()];
    let records = tick.records(taken).as_chunks::<RECORD_BYTES>().0;
    for (record, entity) in records.iter().zip(ids) {
        let [xl, xh, yl, yh, heading, speed, charge, state] = *record;
        let share = |low, high| i64::from(u16::from_le_bytes([low, high]));
        with(ShownRow {
            entity: *entity,
            x: x0 + share(xl, xh) * width / i64::from(u16::MAX),
            y: y0 + share(yl, yh) * height / i64::from(u16::MAX),
            heading,
            speed,
            charge,
            state,
        });
    }
}

/// A tick for a setting.
#[must_use]
pub fn tick(tick: &ViewTick, setting: &ViewSetting, sent_at_us: u64) -> Bytes {
    let machines: usize = tick.select(setting).iter().map(|t| t.records).sum();
    let mut out = Vec::with_capacity(2_048 + machines * MAX_ENTITY_BYTES * 3 / 4);
    let info = &tick.info;
    let head = json!({
        "type": "tick",
        "simulation_id": info.spec.id.to_string(),
        "tick": info.tick,
        "epoch": tick.epoch,
        "sim_time_s": sim_time_s(info),
        "started_at_us": tick.started_at_us,
        "sent_at_us": sent_at_us,
        "aggregates": store::aggregates::to_json(&info.aggregate),
        "entities_total": info.spec.config.entities,
    });
    write_open(&mut out, &head);
    out.extend_from_slice(b",\"entities\":[");
    let mut separator: &[u8] = b"";
    for_each_row(tick, setting, |row| {
        out.extend_from_slice(separator);
        write_row(&mut out, &row);
        separator = b",";
    });
    out.extend_from_slice(b"]}");
    out.into()
}

/// Simulated time at the simulation's tick, s.
#[must_use]
pub fn sim_time_s(info: &SimulationInfo) -> f64 {
    let ms = u128::from(info.tick) * u128::from(info.spec.config.tick_ms);
    ms as f64 / 1_000.0
}

/// A JSON object without its closing brace.
fn write_open(out: &mut Vec<u8>, object: &Value) {
    serde_json::to_writer(&mut *out, object).expect("writing to memory does not fail");
    let brace = out.pop();
    debug_assert_eq!(brace, Some(b'}'));
}

fn write_row(out: &mut Vec<u8>, row: &ShownRow) {
    let spelled = &*SPELLED;
    out.extend_from_slice(b"{\"id\":");
    write_integer(out, row.entity.into());
    out.extend_from_slice(b",\"x\":");
    write_hundredths(out, hundredths(row.x));
    out.extend_from_slice(b",\"y\":");
    write_hundredths(out, hundredths(row.y));
    out.extend_from_slice(b",\"heading\":");
    out.extend_from_slice(spelled.heading[usize::from(row.heading)].as_bytes());
    out.extend_from_slice(b",\"speed\":");
    out.extend_from_slice(spelled.speed[usize::from(row.speed)].as_bytes());
    out.extend_from_slice(b",\"battery\":");
    out.extend_from_slice(spelled.battery[usize::from(row.charge)].as_bytes());
    out.extend_from_slice(b",\"state\":\"");
    out.extend_from_slice(state_name(row.state).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Name of a state's code; a code that no state has is `unknown`.
#[must_use]
pub fn state_name(code: u8) -> &'static str {
    (State::ALL.get(usize::from(code))).map_or("unknown", |state| state.name())
}

/// 2^-16 m as the nearest centimetres.
fn hundredths(units: i64) -> i64 {
    (units * 100 + (1 << 15)) >> 16
}

fn write_integer(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_hundredths(out: &mut Vec<u8>, n: i64) {
    if n < 0 {
        out.push(b'-');
    }
    let n = n.unsigned_abs();
    write_integer(out, n / 100);
    let rest = (n % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

/// What each byte of a record is as a number.
struct Spelled {
    heading: [String; 256],
    speed: [String; 256],
    battery: [String; 256],
}

static SPELLED: LazyLock<Spelled> = LazyLock::new(|| {
    let each = |spell: fn(f64) -> String| std::array::from_fn(|byte| spell(byte as f64));
    Spelled {
        heading: each(|byte| format!("{:.3}", byte / 256.0 * std::f64::consts::TAU)),
        speed: each(|byte| format!("{:.1}", byte / 10.0)),
        battery: each(|byte| format!("{:.1}", byte / 255.0 * 100.0)),
    }
});

/// Where the events that follow begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Epoch of who says it.
    pub epoch: u32,
    /// Where the newest epochs began, ascending.
    pub epochs: Vec<EpochBegin>,
    /// Seq of the next event of the log `sim`.
    pub next_event: u64,
    /// Seq of the next event of the log `system`.
    pub next_system_event: u64,
}

/// The first message of a stream, and of each new epoch.
#[must_use]
pub fn hello(simulation: &Value, world: &Value, begin: &Begin) -> Bytes {
    let epochs = begin.epochs.iter().map(|begun| {
        json!({
            "epoch": begun.epoch,
            "from_tick": begun.from_tick,
            "from_event": begun.from_event,
            "from_system_event": begun.from_system_event,
        })
    });
    text(&json!({
        "type": "hello",
        "simulation": simulation,
        "world": world,
        "epoch": begin.epoch,
        "epochs": epochs.collect::<Vec<_>>(),
        "next_event": begin.next_event,
        "next_system_event": begin.next_system_event,
    }))
}

/// One event.
#[must_use]
pub fn event(event: &LogEvent) -> Bytes {
    let mut object = Map::new();
    object.insert("type".to_owned(), "event".into());
    object.extend(crate::event_json::to_json(event));
    text(&Value::Object(object))
}

/// Events of a log that can be had nowhere any more.
#[must_use]
pub fn events_missing(log: &str, from_seq: u64, to_seq: u64) -> Bytes {
    text(&json!({"type": "events_missing", "log": log, "from_seq": from_seq, "to_seq": to_seq}))
}

/// Ticks that were replaced by newer ones before they could be sent.
#[must_use]
pub fn lagged(skipped: u64) -> Bytes {
    text(&json!({"type": "lagged", "skipped": skipped}))
}

/// Why a client's message had no effect.
#[must_use]
pub fn error(code: &str, detail: &str) -> Bytes {
    text(&json!({"type": "error", "code": code, "detail": detail}))
}

/// What a client gets that asked for a view.
#[must_use]
pub fn view(grant: &Grant) -> Bytes {
    text(&json!({
        "type": "view",
        "bounds_m": grant.setting.tiles.map(|tiles| tiles.bounds_m()),
        "max_entities": grant.setting.max_entities,
        "rate_hz": grant.rate_hz,
        "events": grant.events.name(),
    }))
}

/// The answer to a client's `ping`.
#[must_use]
pub fn pong() -> Bytes {
    Bytes::from_static(b"{\"type\":\"pong\"}")
}

fn text(message: &Value) -> Bytes {
    let mut out = Vec::new();
    write!(out, "{message}").expect("writing to memory does not fail");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use crate::view_setting::{Subprotocol, Wish};

    fn rows(tick: &ViewTick, setting: &ViewSetting) -> Vec<ShownRow> {
        let mut rows = Vec::new();
        for_each_row(tick, setting, |row| rows.push(row));
        rows
    }

    #[test]
    fn a_tick_is_json_that_says_what_the_records_hold() {
        let mut sample = Sample::dense(120, 4_096);
        sample.step(400);
        let shown = sample.tick(400);
        let setting = ViewSetting::default();
        let message = tick(&shown, &setting, 77);
        let json: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(json["type"], "tick");
        assert_eq!((&json["tick"], &json["epoch"]), (&400.into(), &1.into()));
        assert_eq!(json["sim_time_s"], 20.0);
        assert_eq!(json["started_at_us"], shown.started_at_us);
        assert_eq!(
            (&json["sent_at_us"], &json["entities_total"]),
            (&77.into(), &120.into())
        );
        assert_eq!(json["aggregates"]["machines"], 120);
        let entities = json["entities"].as_array().unwrap();
        let rows = rows(&shown, &setting);
        assert_eq!(entities.len(), 120);
        let mut has_moved = false;
        for (entity, row) in entities.iter().zip(rows) {
            assert_eq!(entity["id"], row.entity);
            let near = |value: &Value, wanted: f64, by: f64| {
                assert!(
                    (value.as_f64().unwrap() - wanted).abs() <= by,
                    "{value} {wanted}"
                );
            };
            near(&entity["x"], row.x as f64 / 65_536.0, 0.005_1);
            near(&entity["y"], row.y as f64 / 65_536.0, 0.005_1);
            near(
                &entity["heading"],
                f64::from(row.heading) / 256.0 * std::f64::consts::TAU,
                0.000_51,
            );
            near(&entity["speed"], f64::from(row.speed) / 10.0, 1e-9);
            near(&entity["battery"], f64::from(row.charge) / 2.55, 0.051);
            assert_eq!(entity["state"], state_name(row.state));
            has_moved |= row.speed > 0;
        }
        assert!(has_moved, "a sample that stands proves little");
    }

    #[test]
    fn bounds_filter_single_rows() {
        let shown = Sample::dense(1_000, 300).tick(1);
        let world = shown.index.world_m;
        let all = rows(
            &shown,
            &ViewSetting {
                max_entities: 1_000,
                ..ViewSetting::default()
            },
        );
        assert_eq!(all.len(), 1_000);
        let wish = Wish {
            bounds_m: Some([world[0], world[1], world[2] / 3.0, world[3] / 3.0]),
            ..Wish::default()
        };
        let setting = wish.grant(Subprotocol::Json, world).unwrap().setting;
        let [west, south, east, north] = setting.tiles.unwrap().bounds_units();
        let mut wanted = all;
        wanted.retain(|r| (west..east).contains(&r.x) && (south..north).contains(&r.y));
        let selected: usize = shown.select(&setting).iter().map(|t| t.records).sum();
        assert!(wanted.len() < selected, "some rows lie outside");
        assert_eq!(rows(&shown, &setting), wanted);
    }

    #[test]
    fn numbers_are_spelled_as_json_has_them() {
        for (units, spelled) in [
            (0, "0.00"),
            (65_536, "1.00"),
            (-65_536 / 4, "-0.25"),
            (-1_000, "-0.02"),
            (123 * 65_536 + 32_768, "123.50"),
            ((1 << 40) + 655, "16777216.01"),
        ] {
            let mut out = Vec::new();
            write_hundredths(&mut out, hundredths(units));
            assert_eq!(String::from_utf8(out).unwrap(), spelled);
        }
        for n in [0, 9, 10, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            write_integer(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
        }
    }

    #[test]
    fn a_machine_never_takes_more_room_than_is_set_aside() {
        let mut out = Vec::new();
        let far = -(1 << 42);
        write_row(
            &mut out,
            &ShownRow {
                entity: u32::MAX,
                x: far,
                y: far,
                heading: 255,
                speed: 255,
                charge: 255,
                state: 1,
            },
        );
        assert!(out.len() < MAX_ENTITY_BYTES, "{}", out.len());
    }
}
