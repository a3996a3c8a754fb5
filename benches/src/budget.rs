//! What a row-step and a frame may cost, in instructions, beside what they did cost.
//!
//! A budget is a table, one line a bench: its name, the unit, and the instructions a unit. It is
//! written from a run of the `instructions` bench and committed; a later run may cost
//! [`TOLERANCE_PERCENT`] more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kernel::config::Scenario;
use serde_json::Value;

use crate::stepper;

/// Ticks that the bench of a step counts.
pub const STEPPED_TICKS: u32 = 10;
/// How much more than its budget a unit may cost.
pub const TOLERANCE_PERCENT: f64 = 10.0;

/// What one bench cost, or may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// What is counted in.
    pub unit: &'static str,
    /// Instructions a unit.
    pub instructions: f64,
}

/// Costs by the name of their bench.
pub type Costs = BTreeMap<String, Cost>;

/// What cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// A line of the bench's output that is not the summary of a bench.
    #[error(
        "summary {line}: {what} is missing; does the version of gungraun-runner fit gungraun's?"
    )]
    Summary {
        /// 1-based.
        line: usize,
        /// Which part of it.
        what: &'static str,
    },
    /// A line of the budget that is not a name, a unit and a number.
    #[error("budget, line {line}: a name, a unit and a number are expected, separated by tabs")]
    Line {
        /// 1-based.
        line: usize,
    },
    /// The output holds no bench.
    #[error("nothing was measured")]
    Empty,
}

/// Reads what gungraun prints with `--output-format=json`: one summary a line.
///
/// # Errors
/// [`BudgetError`] says what is missing.
pub fn measured(output: &str) -> Result<Costs, BudgetError> {
    let mut costs = Costs::new();
    for (line, text) in (1..).zip(output.lines()) {
        let missing = |what| BudgetError::Summary { line, what };
        let summary: Value = serde_json::from_str(text).map_err(|_| missing("the JSON"))?;
        let field = |name| summary[name].as_str();
        let function = field("function_name").ok_or(missing("the function's name"))?;
        let id = field("id").ok_or(missing("the bench's id"))?;
        let counted = instructions(&summary).ok_or(missing("the number of instructions"))?;
        let (unit, units) = units(function, id);
        let cost = Cost {
            unit,
            instructions: counted / units,
        };
        costs.insert(format!("{function}/{id}"), cost);
    }
    if costs.is_empty() {
        return Err(BudgetError::Empty);
    }
    Ok(costs)
}

/// Instructions of one summary's new run.
fn instructions(summary: &Value) -> Option<f64> {
    let profiles = summary["profiles"].as_array()?;
    let total = |profile: &Value| {
        profile
            .pointer("/data/total/metrics/Ir/values/new")?
            .as_f64()
    };
    profiles.iter().find_map(total)
}

/// What a bench is counted in, and how many of it one run does.
fn units(function: &str, id: &str) -> (&'static str, f64) {
    let rows = || {
        let scenario: Scenario = id.parse().expect("benches of rows are named by scenario");
        f64::from(stepper::plan(scenario).partitions[0].rows)
    };
    match function {
        "step" => ("row-step", rows() * f64::from(STEPPED_TICKS)),
        "view_write" => ("row", rows()),
        _ => ("frame", 1.0),
    }
}

/// The text of a budget. `tools` says what compiled and counted.
#[must_use]
pub fn write(costs: &Costs, tools: &str) -> String {
    let mut text = format!("# Instructions a unit. Written by `.ci/bench --renew`; {tools}.\n");
    for (name, cost) in costs {
        let _ = writeln!(text, "{name}\t{}\t{:.1}", cost.unit, cost.instructions);
    }
    text
}

/// Reads a budget: instructions by name.
///
/// # Errors
/// [`BudgetError::Line`] names the line.
pub fn read(text: &str) -> Result<BTreeMap<String, f64>, BudgetError> {
    let mut budget = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with('#') {
            continue;
        }
        let mut fields = text.split('\t');
        let (name, number) = (fields.next(), fields.nth(1));
        let number = number.and_then(|n| n.parse().ok());
        let (name, number) = name.zip(number).ok_or(BudgetError::Line { line })?;
        budget.insert(name.to_owned(), number);
    }
    Ok(budget)
}

/// A run beside its budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// A line a bench.
    pub table: String,
    /// What is over budget, or cannot be compared; empty where all is well.
    pub faults: Vec<String>,
}

/// Compares a run with its budget.
#[must_use]
pub fn compare(costs: &Costs, budget: &BTreeMap<String, f64>) -> Comparison {
    let mut comparison = Comparison::default();
    for (name, cost) in costs {
        let (unit, is) = (cost.unit, cost.instructions);
        let Some(&may) = budget.get(name) else {
            comparison.faults.push(format!("{name}: has no budget"));
            continue;
        };
        let change = (is / may - 1.0) * 100.0;
        let table = &mut comparison.table;
        let _ = writeln!(table, "{name:<32} {is:>12.1} a {unit:<9} {change:>+7.1} %");
        if is > may * (1.0 + TOLERANCE_PERCENT / 100.0) {
            comparison.faults.push(format!(
                "{name}: {is:.1} instructions a {unit}, {change:.1} % over the budget of {may:.1}; \
                 {TOLERANCE_PERCENT:.0} % are allowed"
            ));
        }
    }
    let unmeasured = budget.keys().filter(|name| !costs.contains_key(*name));
    comparison
        .faults
        .extend(unmeasured.map(|name| format!("{name}: has a budget and was not measured")));
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(instructions: f64) -> Cost {
        let unit = "frame";
        Cost { unit, instructions }
    }

    fn faults(measured: &[(&str, f64)]) -> Vec<String> {
        let costs = measured
            .iter()
            .map(|(name, instructions)| ((*name).to_owned(), cost(*instructions)))
            .collect();
        let budget = read("# a comment\nview/dense\tframe\t1000.0\n").unwrap();
        compare(&costs, &budget).faults
    }

    #[test]
    fn a_tenth_more_is_allowed_and_no_more() {
        assert!(faults(&[("view/dense", 1_100.0)]).is_empty());
        assert!(faults(&[("view/dense", 10.0)]).is_empty());
        let over = faults(&[("view/dense", 1_101.0)]);
        assert!(
            over[0].contains("10.1 % over the budget of 1000.0"),
            "{over:?}"
        );
    }

    #[test]
    fn benches_and_budget_must_name_each_other() {
        let faults = faults(&[("view/weeding", 1.0)]);
        assert_eq!(
            faults,
            [
                "view/weeding: has no budget",
                "view/dense: has a budget and was not measured"
            ]
        );
    }

    #[test]
    fn a_budget_comes_back() {
        let costs = Costs::from([("a/b".to_owned(), cost(12.34))]);
        let read = read(&write(&costs, "rustc")).unwrap();
        assert_eq!(read, BTreeMap::from([("a/b".to_owned(), 12.3)]));
        assert_eq!(super::read("a\tframe"), Err(BudgetError::Line { line: 1 }));
    }
}
