//! Commands as JSON: the same words in the database, in REST answers and in scripts of commands.

use kernel::command::{Action, Component};
use serde_json::{Map, Value, json};
use transport::control::Target;

/// A target: `{"entity":1}`, `{"entities":[1,2]}`, `{"site":0}` or `"all"`.
#[must_use]
pub fn target_to_json(target: &Target) -> Value {
    match target {
        Target::Entity(entity) => json!({ "entity": entity }),
        Target::Entities(entities) => json!({ "entities": entities }),
        Target::Site(site) => json!({ "site": site }),
        Target::All => json!("all"),
    }
}

/// The target of such a value; `None` where it is none.
#[must_use]
pub fn target_from_json(json: &Value) -> Option<Target> {
    if json == "all" {
        return Some(Target::All);
    }
    let (name, value) = json.as_object().filter(|o| o.len() == 1)?.iter().next()?;
    let small = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match name.as_str() {
        "entity" => small(value).map(Target::Entity),
        "site" => small(value).map(Target::Site),
        "entities" => value
            .as_array()?
            .iter()
            .map(small)
            .collect::<Option<_>>()
            .map(Target::Entities),
        _ => None,
    }
}

/// An action: its name, and its arguments in units that people use.
#[must_use]
pub fn action_to_json(action: Action) -> (&'static str, Value) {
    match action {
        Action::Hold => ("hold", Value::Object(Map::new())),
        Action::Release => ("release", Value::Object(Map::new())),
        Action::Goto { x_mm, y_mm } => (
            "goto",
            json!({ "x_m": thousandths(x_mm), "y_m": thousandths(y_mm) }),
        ),
        Action::ReturnToCharger => ("return_to_charger", Value::Object(Map::new())),
        Action::SetSpeedLimit { mm_per_s } => (
            "set_speed_limit",
            json!({ "m_per_s": thousandths(mm_per_s) }),
        ),
        Action::InjectFault { component, for_ms } => (
            "inject_fault",
            json!({ "component": component_name(component), "for_s": thousandths(for_ms) }),
        ),
    }
}

/// The action of such a name and arguments; `None` where they mean nothing to this build.
#[must_use]
pub fn action_from_json(command: &str, args: &Value) -> Option<Action> {
    let milli = |name: &str| whole_thousandths(args.get(name)?.as_f64()?);
    Some(match command {
        "hold" => Action::Hold,
        "release" => Action::Release,
        "goto" => Action::Goto {
            x_mm: milli("x_m")?,
            y_mm: milli("y_m")?,
        },
        "return_to_charger" => Action::ReturnToCharger,
        "set_speed_limit" => Action::SetSpeedLimit {
            mm_per_s: milli("m_per_s")?,
        },
        "inject_fault" => Action::InjectFault {
            component: component_from_name(args.get("component")?.as_str()?)?,
            for_ms: milli("for_s")?,
        },
        _ => return None,
    })
}

fn component_name(component: Component) -> &'static str {
    match component {
        Component::Drive => "drive",
        Component::Battery => "battery",
    }
}

fn component_from_name(name: &str) -> Option<Component> {
    [Component::Drive, Component::Battery]
        .into_iter()
        .find(|component| component_name(*component) == name)
}

/// Exact to the last digit both ways: 32 bits and a division leave a double much to spare.
fn thousandths(n: i32) -> f64 {
    f64::from(n) / 1_000.0
}

fn whole_thousandths(x: f64) -> Option<i32> {
    let n = (x * 1_000.0).round();
    (f64::from(i32::MIN)..=f64::from(i32::MAX))
        .contains(&n)
        .then_some(n as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_comes_back_as_it_was() {
        for n in [i32::MIN, -1, 0, 1, 999, 1_001, 123_456_789, i32::MAX] {
            for action in [
                Action::Hold,
                Action::Release,
                Action::Goto {
                    x_mm: n,
                    y_mm: n.wrapping_neg(),
                },
                Action::ReturnToCharger,
                Action::SetSpeedLimit { mm_per_s: n },
                Action::InjectFault {
                    component: Component::Drive,
                    for_ms: n,
                },
                Action::InjectFault {
                    component: Component::Battery,
                    for_ms: n,
                },
            ] {
                let (name, args) = action_to_json(action);
                let text = args.to_string();
                let args = serde_json::from_str(&text).unwrap();
                assert_eq!(action_from_json(name, &args), Some(action), "{name} {text}");
            }
        }
    }

    #[test]
    fn every_target_comes_back_as_it_was() {
        for target in [
            Target::Entity(7),
            Target::Entities(vec![3, 1, u32::MAX]),
            Target::Entities(Vec::new()),
            Target::Site(0),
            Target::All,
        ] {
            assert_eq!(target_from_json(&target_to_json(&target)), Some(target));
        }
    }

    #[test]
    fn what_means_nothing_is_none() {
        assert_eq!(target_from_json(&json!("some")), None);
        assert_eq!(target_from_json(&json!({"entity": 1, "site": 0})), None);
        assert_eq!(target_from_json(&json!({"entity": -1})), None);
        assert_eq!(action_from_json("fly", &json!({})), None);
        assert_eq!(
            action_from_json("goto", &json!({"x_m": 1e9, "y_m": 0})),
            None
        );
    }
}
