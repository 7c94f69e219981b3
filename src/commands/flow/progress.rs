//! A line in the terminal while a job runs; nothing where nobody looks.

use std::time::Duration;

use crave_flow::PipelineStatus;
use indicatif::{ProgressBar, ProgressStyle};

/// The line.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {elapsed_precise} {human_pos} rows in, {per_sec}, {msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    pub(super) fn show(&self, status: &PipelineStatus) {
        let sum = |of: fn(&crave_flow::JobStatus) -> u64| status.jobs.iter().map(of).sum::<u64>();
        self.0.set_position(sum(|j| j.rows_in));
        let watermark = status.jobs.iter().map(|j| j.watermark_ns).min().unwrap_or(i64::MIN);
        let time = match watermark {
            i64::MIN => "no watermark yet".into(),
            i64::MAX => "at the end of time".into(),
            ns => chrono::DateTime::from_timestamp_nanos(ns).format("watermark %F %T").to_string(),
        };
        self.0.set_message(format!("{} rows out, {time}", sum(|j| j.rows_out)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
