//! Decides what a deployment does. Pure: facts in, steps out.
//!
//! Arroyo keeps a job's state under the job and takes no other query for it (its API changes parallelism, checkpoint
//! interval and whether it runs, nothing else). So the same query keeps its state through everything, and another query
//! always starts with none: it reads the topic from its first record and writes every row again. Such a step is refused
//! unless it is asked for ([`Wanted::replace`]).

use std::time::Duration;

use crate::portable::script::normalised;

/// A job as it should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Name of its file in `sql/jobs/`.
    pub name: String,
    /// Name of its pipeline in Arroyo.
    pub pipeline: String,
    /// Its SQL, translated ([`translate`](crate::translate())).
    pub sql: String,
}

/// A function as it should be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udf {
    /// Name in SQL.
    pub name: String,
    /// Arroyo's source text.
    pub source: String,
}

/// What should be in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Jobs that should run.
    pub jobs: Vec<Job>,
    /// Functions they may call.
    pub udfs: Vec<Udf>,
    /// Tasks an operator.
    pub parallelism: u64,
    /// Time between two checkpoints; Arroyo takes 1 second to 1 day.
    pub checkpoint_interval: Duration,
    /// Whether a job whose query changed may begin anew, without its state.
    pub replace: bool,
}

/// A function in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdfFact {
    /// Arroyo's id.
    pub id: String,
    /// Its folder in Arroyo's list; ours is [`UDF_PREFIX`].
    pub prefix: String,
    /// Name in SQL.
    pub name: String,
    /// Its source text.
    pub source: String,
}

/// A pipeline in the cluster, and its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineFact {
    /// Arroyo's id.
    pub id: String,
    /// Its name; Arroyo allows several of one name.
    pub name: String,
    /// Its query.
    pub query: String,
    /// Tasks of each operator.
    pub parallelism: Vec<u64>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// State of its job.
    pub state: String,
    /// Whether it should run.
    pub desired: bool,
}

/// What is in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Functions.
    pub udfs: Vec<UdfFact>,
    /// Pipelines.
    pub pipelines: Vec<PipelineFact>,
}

/// The folder of our functions in Arroyo's list.
pub const UDF_PREFIX: &str = "crave";

/// What to do about a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdfAction {
    /// It is there as it should be.
    Keep,
    /// Publish it.
    Publish,
    /// Remove ours of this id and publish the new text: running jobs keep what they were built with.
    Replace {
        /// Arroyo's id of the old one.
        id: String,
    },
    /// Another function has the name, and it is not ours.
    Refuse {
        /// What to do.
        why: String,
    },
}

/// What to do about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// Create its pipeline.
    Create,
    /// It runs as it should.
    Keep {
        /// Arroyo's id of the pipeline.
        id: String,
    },
    /// Let it run again; its state is kept.
    Start {
        /// Arroyo's id of the pipeline.
        id: String,
    },
    /// It failed: start it from its last checkpoint; its state is kept.
    Restart {
        /// Arroyo's id of the pipeline.
        id: String,
    },
    /// Change settings; Arroyo stops it at a checkpoint and goes on from there, its state is kept.
    Change {
        /// Arroyo's id of the pipeline.
        id: String,
        /// New parallelism, when it differs.
        parallelism: Option<u64>,
        /// New checkpoint interval, when it differs.
        checkpoint_interval: Option<Duration>,
    },
    /// Stop the old one at a checkpoint, create the new one without state, delete the old one once the new one runs.
    Replace {
        /// Arroyo's id of the old pipeline.
        id: String,
    },
    /// Only a person can decide.
    Refuse {
        /// Why, and what to do.
        why: String,
    },
}

/// Steps, in order: functions first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A step a function.
    pub udfs: Vec<(Udf, UdfAction)>,
    /// A step a job.
    pub jobs: Vec<(Job, JobAction)>,
    /// What should be known before it is carried out.
    pub notes: Vec<String>,
}

impl Plan {
    /// Steps that only a person can decide, as `name: why`.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        let udfs = self.udfs.iter().filter_map(|(udf, action)| match action {
            UdfAction::Refuse { why } => Some(format!("{}: {why}", udf.name)),
            _ => None,
        });
        let jobs = self.jobs.iter().filter_map(|(job, action)| match action {
            JobAction::Refuse { why } => Some(format!("{}: {why}", job.name)),
            _ => None,
        });
        udfs.chain(jobs).collect()
    }
}

/// Compares what should be with what is.
#[must_use]
pub fn decide(wanted: &Wanted, facts: &Facts) -> Plan {
    let udfs: Vec<_> = wanted.udfs.iter().map(|udf| (udf.clone(), udf_action(udf, facts))).collect();
    let jobs: Vec<_> = wanted.jobs.iter().map(|job| (job.clone(), job_action(job, wanted, facts))).collect();
    let mut notes = Vec::new();
    for (udf, _) in udfs.iter().filter(|(_, action)| matches!(action, UdfAction::Replace { .. })) {
        let keeps = |action: &JobAction| !matches!(action, JobAction::Create | JobAction::Replace { .. });
        let calls =
            |job: &Job| normalised(&job.sql).is_some_and(|sql| sql.contains(&format!("{} (", udf.name)));
        let of =
            jobs.iter().filter(|(job, action)| keeps(action) && calls(job)).map(|(job, _)| job.name.as_str());
        let of = of.collect::<Vec<_>>().join(", ");
        if !of.is_empty() {
            let note = "keeps the function it was built with until it is replaced";
            notes.push(format!("{} changed, but {of} {note}", udf.name));
        }
    }
    for (job, _) in jobs.iter().filter(|(_, action)| matches!(action, JobAction::Replace { .. })) {
        notes.push(format!("{}: {}", job.name, BEGINS_ANEW));
    }
    Plan { udfs, jobs, notes }
}

const BEGINS_ANEW: &str = "the new job begins without state, at the topic's first record, and writes all rows again: \
    empty its table first";

fn udf_action(udf: &Udf, facts: &Facts) -> UdfAction {
    match facts.udfs.iter().find(|fact| fact.name == udf.name) {
        None => UdfAction::Publish,
        Some(fact) if fact.source == udf.source => UdfAction::Keep,
        Some(fact) if fact.prefix == UDF_PREFIX => UdfAction::Replace { id: fact.id.clone() },
        Some(fact) => UdfAction::Refuse {
            why: format!(
                "Arroyo holds another function of this name under '{}'; rename or delete it there",
                fact.prefix
            ),
        },
    }
}

fn job_action(job: &Job, wanted: &Wanted, facts: &Facts) -> JobAction {
    let same_name: Vec<_> = facts.pipelines.iter().filter(|fact| fact.name == job.pipeline).collect();
    let fact = match same_name[..] {
        [] => return JobAction::Create,
        [fact] => fact,
        ref many => {
            let ids = many.iter().map(|p| format!("{} ({})", p.id, p.state)).collect::<Vec<_>>().join(", ");
            let why = format!(
                "{} pipelines are named {}: {ids}; delete all but one in Arroyo",
                many.len(),
                job.pipeline
            );
            return JobAction::Refuse { why };
        }
    };
    let id = fact.id.clone();
    if normalised(&fact.query) != normalised(&job.sql) {
        return if wanted.replace {
            JobAction::Replace { id }
        } else {
            let why = format!(
                "its query changed, and Arroyo cannot keep a job's state under another query: {BEGINS_ANEW}, then deploy \
                 with --replace"
            );
            JobAction::Refuse { why }
        };
    }
    let state = fact.state.as_str();
    match state {
        "Failed" => return JobAction::Restart { id },
        "Stopped" => return JobAction::Start { id },
        "Finished" => {
            let why =
                "it has read its input to the end and cannot go on; delete it in Arroyo to run it again"
                    .into();
            return JobAction::Refuse { why };
        }
        _ if !fact.desired => {
            return JobAction::Refuse {
                why: format!("it is being stopped ({state}); deploy again in a moment"),
            };
        }
        _ => {}
    }
    let parallelism = fact.parallelism.iter().any(|p| *p != wanted.parallelism).then_some(wanted.parallelism);
    let interval =
        (fact.checkpoint_interval != wanted.checkpoint_interval).then_some(wanted.checkpoint_interval);
    match (parallelism, interval) {
        (None, None) => JobAction::Keep { id },
        (parallelism, checkpoint_interval) => JobAction::Change { id, parallelism, checkpoint_interval },
    }
}

#[cfg(test)]
mod tests;
