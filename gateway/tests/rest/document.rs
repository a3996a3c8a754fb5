//! The OpenAPI document: every reference resolves, every limit is the code's, and what it says is served.

use serde_json::Value;

use crate::bench::Bench;
use crate::http::send;

/// Calls `with` for every value inside.
fn each<'a>(value: &'a Value, with: &mut impl FnMut(&'a Value)) {
    with(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| each(item, with)),
        Value::Object(fields) => fields.values().for_each(|field| each(field, with)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_resolves_and_every_operation_is_told_whole() {
    let bench = Bench::start().await;
    let reply = bench.get("/openapi.json").await;
    let document = reply.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    each(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("of this document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    });
    let mut ids = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = format!("{method} {path}");
            ids.push(operation["operationId"].as_str().expect(&name).to_owned());
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{name}"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses
                    .keys()
                    .any(|status| status.starts_with('2') || status == "101"),
                "{name}"
            );
            for (status, response) in responses {
                assert!(response["description"].is_string(), "{name} {status}");
                if status.starts_with(['4', '5']) {
                    let of =
                        response["content"]["application/problem+json"]["schema"]["$ref"].as_str();
                    assert_eq!(of, Some("#/components/schemas/Problem"), "{name} {status}");
                }
            }
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for placeholder in path.split('/').filter(|part| part.starts_with('{')) {
                let wanted = placeholder.trim_matches(['{', '}']);
                assert!(
                    parameters
                        .iter()
                        .any(|p| p["name"] == wanted && p["in"] == "path"),
                    "{name}"
                );
            }
            if ["post", "patch", "delete"].contains(&method.as_str()) {
                assert!(
                    parameters.iter().any(|p| p["name"] == "Idempotency-Key"),
                    "{name}"
                );
            }
        }
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids are unique");
}

/// An enum that was written into a field's schema once came with a second schema, of an object.
#[tokio::test]
async fn no_schema_asks_for_two_types_at_once() {
    let bench = Bench::start().await;
    let document = bench.get("/openapi.json").await.json();
    each(&document, &mut |value| {
        let Some(all) = value.get("allOf").and_then(Value::as_array) else {
            return;
        };
        let mut types: Vec<_> = all
            .iter()
            .filter_map(|part| part["type"].as_str())
            .collect();
        types.dedup();
        assert!(types.len() <= 1, "{value}");
    });
}

#[tokio::test]
async fn every_operation_is_served() {
    let bench = Bench::start().await;
    let document = bench.get("/openapi.json").await.json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{id}", "01900000-0000-7000-8000-000000000001")
            .replace("{entity}", "1");
        for method in methods.as_object().unwrap().keys() {
            let method = match method.as_str() {
                "get" => "GET",
                "post" => "POST",
                "patch" => "PATCH",
                "delete" => "DELETE",
                other => panic!("{other}"),
            };
            let reply = send(method, &path).to(bench.address).await;
            let text = reply.text();
            assert!(
                !text.contains("no-such-route") && reply.status != 405,
                "{method} {path}: {text}"
            );
        }
    }
}

#[test]
fn limits_of_the_document_are_those_of_the_code() {
    let document = serde_json::to_value(gateway::rest::openapi()).unwrap();
    let create = &document["components"]["schemas"]["CreateSimulation"]["properties"];
    let limit = |field: &str, of: &str| create[field][of].as_u64().unwrap();
    use kernel::config::{MAX_ENTITIES, MAX_TICK, MAX_TICK_MS, MIN_TICK_MS};
    assert_eq!(limit("entities", "maximum"), u64::from(MAX_ENTITIES));
    assert_eq!(limit("tick_ms", "minimum"), u64::from(MIN_TICK_MS));
    assert_eq!(limit("tick_ms", "maximum"), u64::from(MAX_TICK_MS));
    assert_eq!(limit("max_ticks", "maximum"), MAX_TICK);
    assert_eq!(
        limit("name", "maxLength"),
        transport::control::MAX_LABEL_BYTES as u64
    );
    assert_eq!(create["additionalProperties"], Value::Null);
    let whole = &document["components"]["schemas"]["CreateSimulation"];
    assert_eq!(whole["additionalProperties"], false);
    let names = document["components"]["schemas"]["ScenarioName"]["enum"]
        .as_array()
        .unwrap();
    let known: Vec<_> = kernel::config::Scenario::ALL
        .iter()
        .map(|s| s.name())
        .collect();
    assert_eq!(names, &known);
}

/// docs/problems.md is read by people who got one: it has to know them all.
#[test]
fn every_problem_is_documented() {
    let page = include_str!("../../../docs/problems.md");
    for kind in gateway::problem::ProblemKind::ALL {
        let row = format!("| `{}` | {} |", kind.slug(), kind.status().as_u16());
        assert!(page.contains(&row), "{row}");
    }
}
