//! `GET /v1/analytics/…?days=30[&craving=…]`: the named queries as JSON, in the person's local time.

use axum::{
    Json,
    extract::{Query, State},
};
use chrono::{DateTime, TimeDelta, Utc};
use crave_lake::Query as Named;
use datafusion::common::ScalarValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::cravings::{rows, time};
use crate::{App, accounts::Caller, error::ApiError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Period {
    days: Option<i64>,
    craving: Option<String>,
    /// Minutes east of UTC of the person now, for "today"; 0 when not told.
    tz_offset_min: Option<i64>,
}

/// Of what has no craving and no day: notes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Days {
    days: Option<i64>,
}

struct Bound {
    days: i64,
    as_of: DateTime<Utc>,
    today: String,
    parameters: Vec<(&'static str, ScalarValue)>,
}

impl Period {
    fn bound(self, now: DateTime<Utc>) -> Result<Bound, ApiError> {
        let days = self.days.unwrap_or(30);
        if !(1..=3_660).contains(&days) {
            return Err(ApiError::invalid("days", "must be between 1 and 3660"));
        }
        let offset = self.tz_offset_min.unwrap_or(0);
        if !(-720..=840).contains(&offset) {
            return Err(ApiError::invalid("tz_offset_min", "must be between -720 and 840"));
        }
        // A device's clock may be up to five minutes ahead: what it sent just now is in the period.
        let as_of = now + TimeDelta::minutes(5);
        let today = (now + TimeDelta::minutes(offset)).format("%Y-%m-%d").to_string();
        let parameters = vec![
            ("as_of", time(Some(as_of))),
            ("since", time(Some(as_of - TimeDelta::days(days)))),
            ("before", time(Some(as_of - TimeDelta::days(2 * days)))),
            ("today", ScalarValue::Utf8(Some(today.clone()))),
            ("craving", ScalarValue::Utf8(self.craving.map(|c| c.trim().to_lowercase()))),
        ];
        Ok(Bound { days, as_of: now, today, parameters })
    }
}

impl Bound {
    async fn rows(&self, app: &App, caller: &Caller, query: Named) -> Result<Vec<Value>, ApiError> {
        let used = |name: &str| query.sql().contains(&format!("${name}"));
        let parameters: Vec<_> = self.parameters.iter().filter(|(name, _)| used(name)).cloned().collect();
        rows(app, caller.user_id.clone(), query, &parameters).await
    }
}

pub(super) async fn summary(
    State(app): State<App>,
    caller: Caller,
    Query(period): Query<Period>,
) -> Result<Json<Value>, ApiError> {
    let bound = period.bound(app.clock.now())?;
    let cravings = bound.rows(&app, &caller, Named::Summary).await?;
    let sum = |name: &str| cravings.iter().filter_map(|row| row[name].as_i64()).sum::<i64>();
    let by_craving = cravings.iter().filter(|row| row["n"].as_i64() > Some(0)).map(|row| {
        json!({ "craving": row["craving"], "n": row["n"], "mean_intensity": row["mean_intensity"],
                "answered": row["answered"], "resisted": row["resisted"] })
    });
    Ok(Json(json!({
        "days": bound.days,
        "as_of": bound.as_of,
        "n": sum("n"),
        "answered": sum("answered"),
        "resisted": sum("resisted"),
        "mean_intensity": mean(&cravings, "n", "mean_intensity"),
        "previous": { "n": sum("previous_n"), "mean_intensity": mean(&cravings, "previous_n", "previous_mean_intensity") },
        "today": { "local_date": bound.today, "n": sum("today_n"), "mean_intensity": mean(&cravings, "today_n", "today_mean_intensity") },
        "by_craving": by_craving.collect::<Vec<_>>(),
    })))
}

/// The mean over groups, weighted by their counts; `None` without rows.
#[allow(clippy::cast_precision_loss)]
fn mean(groups: &[Value], count: &str, mean: &str) -> Option<f64> {
    let pairs = || groups.iter().filter_map(|g| Some((g[count].as_i64()? as f64, g[mean].as_f64()?)));
    let n: f64 = pairs().map(|(n, _)| n).sum();
    (n > 0.0).then(|| pairs().map(|(n, mean)| n * mean).sum::<f64>() / n)
}

/// The rows of each query under its name, and under `days` how many days the period has.
async fn tables<const N: usize>(
    app: &App,
    caller: &Caller,
    period: Period,
    days: &str,
    queries: [(&str, Named); N],
) -> Result<Json<Value>, ApiError> {
    let bound = period.bound(app.clock.now())?;
    let mut answer = Map::from_iter([(days.to_owned(), bound.days.into())]);
    for (name, query) in queries {
        answer.insert(name.to_owned(), bound.rows(app, caller, query).await?.into());
    }
    Ok(Json(answer.into()))
}

pub(super) async fn patterns(
    State(app): State<App>,
    caller: Caller,
    Query(period): Query<Period>,
) -> Result<Json<Value>, ApiError> {
    let queries = [("heatmap", Named::Heatmap), ("triggers", Named::Triggers), ("places", Named::Places)];
    tables(&app, &caller, period, "days", queries).await
}

pub(super) async fn time_of_day(
    State(app): State<App>,
    caller: Caller,
    Query(period): Query<Period>,
) -> Result<Json<Value>, ApiError> {
    tables(&app, &caller, period, "days", [("hours", Named::Hours), ("day_parts", Named::DayParts)]).await
}

pub(super) async fn emotions(
    State(app): State<App>,
    caller: Caller,
    Query(Days { days }): Query<Days>,
) -> Result<Json<Value>, ApiError> {
    let period = Period { days, craving: None, tz_offset_min: None };
    tables(&app, &caller, period, "days", [("emotions", Named::Emotions)]).await
}

pub(super) async fn intensity(
    State(app): State<App>,
    caller: Caller,
    Query(period): Query<Period>,
) -> Result<Json<Value>, ApiError> {
    tables(&app, &caller, period, "period_days", [("days", Named::Intensity), ("hrv", Named::Hrv)]).await
}
