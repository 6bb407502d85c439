//! What calls to models cost, and how far budgets are used. Pure.

use pipeline::event::Usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use runtime::config::{Price, Prices};

/// Millionths of a dollar that one report can be of at most: a wrong report
/// must not fill up the sums.
const COST_MICROS_MAX: f64 = 1e12;

/// What a report cost, in millionths of a dollar: what it says, else what the
/// table says. Nothing, when neither does.
pub fn cost_micros(usage: &Usage, prices: &Prices) -> i64 {
    let dollars = usage.cost.filter(|cost| cost.is_finite() && *cost >= 0.0);
    let micros = match (dollars, price(&usage.model, prices)) {
        (Some(dollars), _) => dollars * 1e6,
        (None, Some(price)) => usage.input_tokens as f64 * price.input + usage.output_tokens as f64 * price.output,
        (None, None) => 0.0,
    };
    micros.clamp(0.0, COST_MICROS_MAX).round() as i64
}

fn price(model: &str, prices: &Prices) -> Option<Price> {
    if let Some(price) = prices.get(model) {
        return Some(*price);
    }
    let fits = |name: &&String| name.strip_suffix('*').is_some_and(|start| model.starts_with(start));
    let longest = prices.keys().filter(fits).max_by_key(|name| name.len())?;
    prices.get(longest).copied()
}

/// What a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Period {
    Day,
    Month,
}

impl Period {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }

    /// Of a name.
    pub fn from_name(name: &str) -> Period {
        if name == "day" { Period::Day } else { Period::Month }
    }

    /// The first day of the period that a day (`2026-11-21`) is in.
    pub fn first_day(self, day: &str) -> String {
        match self {
            Period::Day => day.to_owned(),
            Period::Month => format!("{}-01", day.get(..7).unwrap_or(day)),
        }
    }

    /// The last day that can be in it.
    pub fn last_day(self, day: &str) -> String {
        match self {
            Period::Day => day.to_owned(),
            Period::Month => format!("{}-31", day.get(..7).unwrap_or(day)),
        }
    }

    /// When the period ends that a day is in, in ms.
    pub fn end_ms(self, day: &str) -> i64 {
        const DAY_MS: i64 = 86_400_000;
        let begin = |day: &str| udfs::time::from_rfc3339(&format!("{day}T00:00:00Z")).unwrap_or(0);
        match self {
            Period::Day => begin(day) + DAY_MS,
            Period::Month => {
                let number = |range| day.get(range).and_then(|text: &str| text.parse::<u32>().ok()).unwrap_or(1);
                let (year, month) = (number(0..4), number(5..7));
                let (year, month) = if month >= 12 { (year + 1, 1) } else { (year, month + 1) };
                begin(&format!("{year:04}-{month:02}-01"))
            }
        }
    }
}

/// The steps of which somebody is told: percent, and the alert.
pub const STEPS: &[(i64, &str)] = &[(50, "budget.half"), (80, "budget.nearly"), (100, "budget.spent")];

/// The steps that were reached since `told` percent, in order.
pub fn steps(spent_micros: i64, limit_micros: i64, told: i64) -> impl Iterator<Item = (i64, &'static str)> {
    let reached = move |percent: i64| i128::from(spent_micros) * 100 >= i128::from(limit_micros) * i128::from(percent);
    STEPS.iter().copied().filter(move |(percent, _)| *percent > told && reached(*percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(model: &str, cost: Option<f64>) -> Usage {
        Usage { model: model.to_owned(), input_tokens: 1_000, output_tokens: 500, calls: None, cost, trace_id: None }
    }

    #[test]
    fn what_is_said_goes_before_the_table_and_the_name_before_its_beginning() {
        let prices: Prices = [("gpt-5", 1.0), ("gpt-*", 2.0), ("gpt-5-m*", 3.0)]
            .into_iter()
            .map(|(name, input)| (name.to_owned(), Price { input, output: 10.0 }))
            .collect();
        let cost = |model, cost| cost_micros(&usage(model, cost), &prices);
        assert_eq!(cost("gpt-5", Some(0.25)), 250_000);
        assert_eq!(cost("gpt-5", None), 6_000);
        assert_eq!(cost("gpt-5-mini", None), 8_000);
        assert_eq!(cost("gpt-4", None), 7_000);
        assert_eq!(cost("other", None), 0);
        assert_eq!(cost("gpt-5", Some(f64::NAN)), 6_000);
        assert_eq!(cost("gpt-5", Some(-1.0)), 6_000);
        assert_eq!(cost("gpt-5", Some(1e300)), COST_MICROS_MAX as i64);
    }

    #[test]
    fn each_step_is_told_once() {
        let told = |spent, told| steps(spent, 1_000, told).map(|(percent, _)| percent).collect::<Vec<_>>();
        assert!(told(499, 0).is_empty());
        assert_eq!(told(500, 0), [50]);
        assert!(told(799, 50).is_empty());
        assert_eq!(told(5_000, 0), [50, 80, 100]);
        assert_eq!(told(5_000, 80), [100]);
        assert!(told(5_000, 100).is_empty());
    }

    #[test]
    fn periods_begin_and_end_where_they_should() {
        assert_eq!(Period::Month.first_day("2026-12-21"), "2026-12-01");
        let end = |period: Period, day| udfs::time::to_rfc3339(period.end_ms(day));
        assert!(end(Period::Month, "2026-12-21").starts_with("2027-01-01T00:00:00"));
        assert!(end(Period::Month, "2026-02-03").starts_with("2026-03-01T00:00:00"));
        assert!(end(Period::Day, "2026-02-28").starts_with("2026-03-01T00:00:00"));
    }
}
