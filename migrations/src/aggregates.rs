//! Sums over a simulation as JSON: the same object in the database, in REST answers and in the stream.

use kernel::aggregate::{Aggregate, Counters, STATES};
use kernel::rows::{FULL_CHARGE, State};
use serde_json::{Map, Value, json};

/// The counters by name, in the order of [`Counters`].
fn counters(c: &Counters) -> [(&'static str, u64); 13] {
    [
        ("turns", c.turns),
        ("swaths", c.swaths),
        ("charger_waits", c.charger_waits),
        ("charges", c.charges),
        ("denied_grants", c.denied_grants),
        ("faults", c.faults),
        ("repairs", c.repairs),
        ("commands", c.commands),
        ("rejected_commands", c.rejected_commands),
        ("stand_offs", c.stand_offs),
        ("separation_violations", c.separation_violations),
        ("ghosts", c.ghosts),
        ("ghost_bytes", c.ghost_bytes),
    ]
}

/// Sums as JSON: machines, by state, by tenth of charge, mean battery in percent, mean speed in m/s,
/// and the exact sums behind the means, so that nothing is lost.
#[must_use]
pub fn to_json(aggregate: &Aggregate) -> Value {
    let by_state: Map<String, Value> = State::ALL
        .iter()
        .zip(aggregate.by_state)
        .map(|(state, n)| (state.name().to_owned(), n.into()))
        .collect();
    let counters: Map<String, Value> = counters(&aggregate.counters)
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n.into()))
        .collect();
    let machines = aggregate.rows.max(1) as f64;
    let battery = aggregate.charge_sum as f64 / machines / f64::from(FULL_CHARGE) * 100.0;
    let speed = aggregate.speed_sum_mm_per_s as f64 / machines / 1_000.0;
    json!({
        "machines": aggregate.rows,
        "by_state": by_state,
        "by_charge": aggregate.by_charge,
        "battery_mean_percent": (battery * 1_000.0).round() / 1_000.0,
        "speed_mean_m_per_s": (speed * 1_000.0).round() / 1_000.0,
        "charge_sum": aggregate.charge_sum,
        "speed_sum_mm_per_s": aggregate.speed_sum_mm_per_s,
        "counters": counters,
    })
}

/// The sums of such an object; names that are missing count 0, so that a newer build reads what an older
/// one wrote. `None` where it is no such object.
#[must_use]
pub fn from_json(json: &Value) -> Option<Aggregate> {
    let by_state = json.get("by_state")?.as_object()?;
    let mut aggregate = Aggregate {
        rows: json.get("machines")?.as_u64()?,
        charge_sum: json.get("charge_sum")?.as_i64()?,
        speed_sum_mm_per_s: json.get("speed_sum_mm_per_s")?.as_i64()?,
        ..Aggregate::default()
    };
    let mut states = [0; STATES];
    for (n, state) in states.iter_mut().zip(State::ALL) {
        *n = by_state
            .get(state.name())
            .and_then(Value::as_u64)
            .unwrap_or(0);
    }
    aggregate.by_state = states;
    let by_charge = json.get("by_charge")?.as_array()?;
    for (n, value) in aggregate.by_charge.iter_mut().zip(by_charge) {
        *n = value.as_u64()?;
    }
    let named = json.get("counters")?.as_object()?;
    let count = |name: &str| named.get(name).and_then(Value::as_u64).unwrap_or(0);
    aggregate.counters = Counters {
        turns: count("turns"),
        swaths: count("swaths"),
        charger_waits: count("charger_waits"),
        charges: count("charges"),
        denied_grants: count("denied_grants"),
        faults: count("faults"),
        repairs: count("repairs"),
        commands: count("commands"),
        rejected_commands: count("rejected_commands"),
        stand_offs: count("stand_offs"),
        separation_violations: count("separation_violations"),
        ghosts: count("ghosts"),
        ghost_bytes: count("ghost_bytes"),
    };
    Some(aggregate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_come_back_as_they_were() {
        let mut aggregate = Aggregate {
            rows: 3,
            charge_sum: -7,
            speed_sum_mm_per_s: 1_234,
            ..Aggregate::default()
        };
        for (n, value) in (10..).zip(&mut aggregate.by_state) {
            *value = n;
        }
        for (n, value) in (30..).zip(&mut aggregate.by_charge) {
            *value = n;
        }
        aggregate.counters.turns = 1 << 59;
        aggregate.counters.ghost_bytes = 5;
        aggregate.counters.stand_offs = 6;
        let json = to_json(&aggregate);
        assert_eq!(from_json(&json), Some(aggregate));
        assert_eq!(json["counters"]["turns"], 1_u64 << 59);
        assert_eq!(from_json(&json!({"machines": 1})), None);
    }
}
