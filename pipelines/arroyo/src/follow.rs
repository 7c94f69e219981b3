//! Follows a job to a state.

use std::time::Duration;

use crate::{Client, Error, wire};

/// The state to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It runs, and still does a moment later.
    Running,
    /// It has stopped.
    Stopped,
    /// It has read its input to the end.
    Finished,
}

impl Goal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Finished => "Finished",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    Wait,
    Failed,
}

/// Arroyo's states: Created, Compiling, Scheduling, Running, Rescaling, Recovering, Restarting, CheckpointStopping,
/// Stopping, Finishing and Failing pass by themselves; Stopped, Finished and Failed last.
fn judge(state: &str, goal: Goal) -> Verdict {
    match (goal, state) {
        (Goal::Running, "Running" | "Finished")
        | (Goal::Stopped, "Stopped" | "Finished" | "Failed")
        | (Goal::Finished, "Finished") => Verdict::Reached,
        (Goal::Finished, "Stopped") | (_, "Failed") => Verdict::Failed,
        // A job that was just told to run is still Stopped.
        _ => Verdict::Wait,
    }
}

/// How a job is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Pause between two looks.
    pub pause: Duration,
    /// Looks at which a job must run in a row.
    pub steady: u32,
    /// How long a job may take to come to its state.
    pub limit: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { pause: Duration::from_millis(500), steady: 4, limit: Duration::from_secs(300) }
    }
}

/// Waits until the job of `pipeline` is where it should be; `seen` is told of each new state.
pub(crate) async fn follow(
    client: &Client,
    name: &str,
    pipeline: &str,
    goal: Goal,
    watch: Watch,
    seen: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Error> {
    let (mut last, mut steady) = (String::new(), 0);
    let looks = watch.limit.as_millis() / watch.pause.as_millis().max(1);
    for _ in 0..=looks {
        let job = client.job(pipeline).await?;
        if job.state != last {
            seen(&job.state);
            last.clone_from(&job.state);
            steady = 0;
        }
        steady += 1;
        match judge(&job.state, goal) {
            Verdict::Reached if goal != Goal::Running || job.state != "Running" || steady >= watch.steady => {
                return Ok(());
            }
            Verdict::Failed => {
                let said = said(client, pipeline, &job).await;
                return Err(Error::Failed { job: name.into(), state: job.state, said });
            }
            Verdict::Reached | Verdict::Wait => tokio::time::sleep(watch.pause).await,
        }
    }
    Err(Error::Slow { job: name.into(), state: last, wanted: goal.as_str(), waited_s: watch.limit.as_secs() })
}

/// Why it failed, in Arroyo's words.
pub(crate) async fn said(client: &Client, pipeline: &str, job: &wire::Job) -> String {
    let reason = job.failure_reason.as_ref().map(|r| r.error.clone()).or_else(|| job.failure_message.clone());
    let errors = client.errors(pipeline, &job.id).await.unwrap_or_default();
    let lines = errors.iter().map(|e| match e.details.trim() {
        "" => e.message.clone(),
        details => format!("{} ({details})", e.message),
    });
    let mut all: Vec<String> = reason.into_iter().chain(lines).collect();
    all.dedup();
    if all.is_empty() { "Arroyo gives no reason".into() } else { all.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        use Verdict::{Failed, Reached, Wait};
        let table = [
            ("Created", [Wait, Wait, Wait]),
            ("Compiling", [Wait, Wait, Wait]),
            ("Running", [Reached, Wait, Wait]),
            ("Recovering", [Wait, Wait, Wait]),
            ("CheckpointStopping", [Wait, Wait, Wait]),
            ("Stopped", [Wait, Reached, Failed]),
            ("Finished", [Reached, Reached, Reached]),
            ("Failing", [Wait, Wait, Wait]),
            ("Failed", [Failed, Reached, Failed]),
            ("SomethingNew", [Wait, Wait, Wait]),
        ];
        for (state, expected) in table {
            let judged = [Goal::Running, Goal::Stopped, Goal::Finished].map(|goal| judge(state, goal));
            assert_eq!(judged, expected, "{state}");
        }
    }
}
