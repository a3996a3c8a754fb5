//! The catalogue of what can be simulated.

use kernel::config::{MIN_TICK_MS, Scenario, SimulationConfig};
use kernel::farm::Farm;
use serde::Serialize;
use serde_json::Value;
use utoipa::{PartialSchema, ToSchema};

use super::answered::Answered;
use super::bodies::CreateSimulation;
use super::described::PlainProblems;
use super::page::Page;
use crate::access::Viewer;
use crate::problem::Problem;

/// A scenario.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scenario)]
pub(crate) struct ScenarioResource {
    /// Its name.
    #[schema(example = "weeding")]
    name: &'static str,
    /// What it is.
    description: &'static str,
    /// Classes of its machines.
    #[schema(value_type = Vec<String>)]
    classes: Vec<&'static str>,
    /// JSON Schema of what a creation takes.
    #[schema(value_type = Object)]
    schema: Value,
}

/// Lists the built-in scenarios.
#[utoipa::path(get, path = "/v1/scenarios", operation_id = "list_scenarios", tag = "system",
    responses((status = 200, body = Page<ScenarioResource>, description = "All of them."), PlainProblems))]
pub(crate) async fn list(_: Viewer) -> Result<Answered<Page<ScenarioResource>>, Problem> {
    Ok(Answered(Page {
        items: Scenario::ALL.map(resource).into(),
        next_cursor: None,
    }))
}

fn resource(scenario: Scenario) -> ScenarioResource {
    let least = SimulationConfig {
        scenario: scenario.code(),
        entities: 1,
        tick_ms: MIN_TICK_MS,
        seed: 1,
        partition_rows: kernel::config::DEFAULT_PARTITION_ROWS,
    };
    let farm = Farm::new(&least).expect("the smallest farm of a scenario is valid");
    ScenarioResource {
        name: scenario.name(),
        description: match scenario {
            Scenario::Weeding => {
                "Sites of 12 weeding robots on 12 fields of 20 ha of sugar beet, with 6 power banks."
            }
            Scenario::Dense => {
                "One crowded site of weeders and tractors: short rows, shared headlands, batteries of minutes, frequent faults."
            }
        },
        classes: farm.classes.iter().map(|class| class.name).collect(),
        schema: schema_of(scenario),
    }
}

/// The schema of a creation, in one piece and with this scenario's name as the only one.
fn schema_of(scenario: Scenario) -> Value {
    let mut schemas = Vec::new();
    CreateSimulation::schemas(&mut schemas);
    let as_json = |schema| serde_json::to_value(schema).expect("a schema is JSON");
    let mut schema = as_json(CreateSimulation::schema());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    let definitions = schemas
        .into_iter()
        .map(|(name, schema)| (name, as_json(schema)));
    schema["$defs"] = Value::Object(definitions.collect());
    schema["$defs"]["ScenarioName"] =
        serde_json::json!({"type": "string", "enum": [scenario.name()]});
    rename_refs(&mut schema);
    schema
}

/// Points references of the OpenAPI document at the schema's own definitions.
fn rename_refs(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("#/components/schemas/") {
                *text = format!("#/$defs/{name}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rename_refs),
        Value::Object(fields) => fields.values_mut().for_each(rename_refs),
        _ => {}
    }
}
