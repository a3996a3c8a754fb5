//! What is exposed, what docs/operations.md says of it, and what the alerts ask for: the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::{Role, get, path, until};

/// Kind and labels of each metric, by the name of its samples; of a histogram, without `_bucket`.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

const PAGE: &str = include_str!("../../docs/operations.md");
const RULES: &str = include_str!("../../deploy/prometheus/autofarm.rules.yml");

/// What a page in the OpenMetrics text format exposes.
fn exposed(page: &str) -> Metrics {
    let mut metrics = Metrics::new();
    let mut family = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            let name = match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            let known = metrics.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
            assert!(known.is_none(), "{name} is told of twice");
            family = Some(name);
        } else if let (Some((_, labels)), Some(family)) = (line.split_once('{'), &family)
            && line.starts_with(family.as_str())
        {
            let (labels, _) = labels.rsplit_once('}').expect("a brace that closes");
            let of_family = &mut metrics.get_mut(family).expect("it was put there").1;
            // Values here hold no comma.
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            of_family.extend(
                names
                    .map(|(name, _)| name.to_owned())
                    .filter(|name| name != "le"),
            );
        }
    }
    metrics
}

/// The text in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn section(heading: &str) -> &'static str {
    let begun = PAGE
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .expect(heading);
    begun.split("\n## ").next().expect("there is a first")
}

/// What the tables say.
fn documented() -> Metrics {
    let mut metrics = Metrics::new();
    let (mut prefix, mut common) = ("", None);
    for line in section("Metrics").lines() {
        if line.starts_with("**") {
            prefix = quoted(line)
                .next()
                .and_then(|name| name.strip_suffix("..."))
                .unwrap_or("");
            common = line
                .contains("each with the label `name`")
                .then(|| "name".to_owned());
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [names, kinds, _] = cells[..] else {
            continue;
        };
        if !names.starts_with('`') || names.starts_with("`Autofarm") {
            continue;
        }
        let labels_of = |text: &str| -> BTreeSet<String> {
            text.trim_end_matches('}')
                .split(',')
                .map(str::to_owned)
                .collect()
        };
        // Labels that stand alone are those of every name before them.
        let alone = quoted(names)
            .filter_map(|name| name.strip_prefix('{'))
            .next();
        let named = quoted(names).filter(|name| !name.starts_with('{'));
        let mut kinds = kinds.split(", ");
        let mut kind = "";
        for name in named {
            kind = kinds.next().unwrap_or(kind);
            let (name, own) = name
                .split_once('{')
                .map_or((name, None), |(n, l)| (n, Some(l)));
            let mut labels = own.or(alone).map(labels_of).unwrap_or_default();
            labels.extend(common.clone());
            let name = format!("{prefix}{name}");
            let known = metrics.insert(name.clone(), (kind.to_owned(), labels));
            assert!(known.is_none(), "{name} is documented twice");
        }
    }
    metrics
}

/// The page of everything, after a request and a tick.
fn page_of_all(directory: &str) -> String {
    let mut up = Role::start(&["up", "--listen", "127.0.0.1:0", "--data-dir", directory]);
    let address = up.listening();
    let shown = |page: &str| {
        page.contains("worker_rows{")
            && page.contains("kind=\"simulations\"")
            && page.contains("route=\"/v1")
    };
    until("every role tells of itself", || {
        get(&address, "/v1/simulations");
        shown(&get(&address, "/metrics"))
    });
    let answer = get(&address, "/metrics");
    let (head, page) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    page.to_owned()
}

#[test]
fn every_metric_is_documented_and_what_is_documented_is_exposed() {
    let directory = tempfile::tempdir().unwrap();
    let page = page_of_all(path(directory.path()));
    let (exposed, documented) = (exposed(&page), documented());
    assert!(exposed.len() > 80, "that is all of it: {page}");
    for (name, what) in &exposed {
        let said = documented.get(name);
        assert_eq!(
            said,
            Some(what),
            "{name} is exposed; docs/operations.md, Metrics, says otherwise"
        );
    }
    for name in documented.keys() {
        assert!(
            exposed.contains_key(name),
            "{name} is documented, and not exposed"
        );
    }
    for (name, (kind, _)) in &exposed {
        // The unit is part of the name, and told beside it.
        let family = name.trim_end_matches("_total");
        for unit in ["seconds", "bytes"] {
            let told = page.contains(&format!("# UNIT {family} {unit}\n"));
            assert_eq!(
                told,
                family.ends_with(&format!("_{unit}")),
                "the unit of {name}"
            );
        }
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
    }
    for name in names_in(RULES) {
        let of_histogram = name.trim_end_matches("_bucket");
        let is_there = exposed.contains_key(of_histogram);
        assert!(is_there, "an alert asks for {name}, and nothing exposes it");
    }
}

/// Every name of a metric in a text.
fn names_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("autofarm_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn every_alert_is_documented_with_its_severity() {
    let mut alerts = BTreeMap::new();
    for rule in RULES.split("- alert: ").skip(1) {
        let name = rule.lines().next().expect("a name");
        let severity = rule
            .split("severity: ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        alerts.insert(name, severity.expect("every alert has one"));
    }
    assert!(alerts.len() > 15, "{alerts:?}");
    let rows = section("Metrics")
        .lines()
        .filter(|line| line.starts_with("| `Autofarm"));
    let said: BTreeMap<&str, &str> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[2])
        })
        .collect();
    assert_eq!(alerts, said, "the rules, and docs/operations.md, Metrics");
}
