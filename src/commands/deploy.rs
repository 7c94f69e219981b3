//! `crave deploy`: the streaming jobs on an Arroyo cluster.

mod tables;

use std::{collections::BTreeMap, io::Write as _, process::ExitCode};

use anyhow::Context as _;
use crave_arroyo::{
    Client, Finding, Job, JobAction, Level, Places, Plan, Told, Udf, UdfAction, Wanted, Watch, decide,
    deploy, observe, portable, status, stop, translate, validate,
};
use crave_udfs::arroyo_udfs;
use serde_json::json;

use crate::{config::Config, node::job_texts};

/// Pipelines of the platform are named with this, after `log.prefix`.
const PIPELINE: &str = "crave.";

/// Each job's name, where its text lies, and the text.
type Texts = BTreeMap<String, (String, String)>;

/// Flags of `deploy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of Arroyo's API, such as http://127.0.0.1:5115; overrides `arroyo.url`.
    #[arg(long, value_name = "URL")]
    arroyo: Option<String>,
    /// Only these jobs (files of sql/jobs without `.sql`); all when absent.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Say what would be done, and change nothing; without an address only the jobs are checked.
    #[arg(long)]
    dry_run: bool,
    /// Let jobs whose query changed begin anew, without their state.
    #[arg(long)]
    replace: bool,
    /// Stop these jobs at a checkpoint instead; a later deploy goes on from it.
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with_all = ["only", "dry_run", "replace", "status"])]
    stop: Vec<String>,
    /// Show what the jobs do in the cluster; exit code 1 when one does not run.
    #[arg(long, conflicts_with_all = ["dry_run", "replace"])]
    status: bool,
}

pub(crate) async fn run(config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let names = if args.stop.is_empty() { &args.only } else { &args.stop };
    let jobs = chosen(job_texts(config.flow.jobs())?, names)?;
    let pipeline = |name: &str| format!("{}{PIPELINE}{name}", config.log.prefix);
    let names: Vec<_> = jobs.keys().map(|name| (name.clone(), pipeline(name))).collect();
    let address = args.arroyo.as_deref().unwrap_or(&config.arroyo.url);
    if args.status || !args.stop.is_empty() {
        let client = client(address)?;
        if args.status {
            return show_status(&client, &names, json).await;
        }
        stop(&client, &names, Watch::default(), &mut tell).await?;
        return Ok(ExitCode::SUCCESS);
    }

    let findings: Vec<Finding> = jobs.iter().flat_map(|(name, (_, sql))| portable(name, sql)).collect();
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    if findings.iter().any(|f| f.level == Level::Stops) {
        eprintln!("crave: nothing was deployed: Arroyo cannot run these jobs as they are");
        return Ok(ExitCode::FAILURE);
    }
    if args.dry_run && address.is_empty() {
        print_done(json, &json!({ "portable": jobs.keys().collect::<Vec<_>>() }), || {
            format!(
                "{} jobs are portable; name a cluster with --arroyo URL to see what would be done",
                jobs.len()
            )
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = client(address)?;
    let wanted = wanted(config, &jobs, args.replace, &pipeline)?;
    // Options of the configuration may be misspelt, or be ones that Arroyo would ignore.
    let mut configured = wanted.jobs.iter().flat_map(|job| portable(&job.name, &job.sql));
    if let Some(finding) = configured.find(|f| f.level == Level::Stops) {
        anyhow::bail!("{finding} (from arroyo.kafka or arroyo.delta)");
    }
    let ours: Vec<_> = wanted.jobs.iter().map(|job| job.pipeline.clone()).collect();
    let facts = observe(&client, &|name| ours.iter().any(|our| our == name)).await?;
    let plan = decide(&wanted, &facts);
    validate(&client, &wanted).await?;
    print_done(json, &as_json(&plan), || as_text(&plan))?;
    if args.dry_run {
        return Ok(if plan.refused().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if plan.refused().is_empty()
        && let Some(by_hand) = tables::create(&jobs, config.arroyo.lake.trim_end_matches('/')).await?
    {
        eprintln!("crave: {by_hand}");
    }
    deploy(&client, &plan, &wanted, Watch::default(), &mut tell).await?;
    Ok(ExitCode::SUCCESS)
}

/// The jobs of these names; all when there are none.
fn chosen(mut jobs: Texts, names: &[String]) -> anyhow::Result<Texts> {
    if let Some(stranger) = names.iter().find(|name| !jobs.contains_key(*name)) {
        let known = jobs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        anyhow::bail!("no job is named '{stranger}'; there are {known}");
    }
    jobs.retain(|name, _| names.is_empty() || names.contains(name));
    Ok(jobs)
}

fn client(address: &str) -> anyhow::Result<Client> {
    anyhow::ensure!(!address.is_empty(), "name the cluster with --arroyo URL or arroyo.url");
    // The token is no flag and no key of the configuration: those are shown by `ps` and kept in files.
    let token = std::env::var("ARROYO_API_TOKEN").ok().filter(|token| !token.trim().is_empty());
    Ok(Client::new(address, token.as_deref())?)
}

fn wanted(
    config: &Config,
    jobs: &Texts,
    replace: bool,
    pipeline: &dyn Fn(&str) -> String,
) -> anyhow::Result<Wanted> {
    let arroyo = &config.arroyo;
    let pairs = |options: &[String]| {
        let split = options.iter().filter_map(|option| option.split_once('='));
        split.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
    };
    let brokers = if arroyo.brokers.is_empty() { &config.log.brokers } else { &arroyo.brokers };
    let lake = arroyo.lake.trim_end_matches('/').to_owned();
    let places = Places {
        brokers: brokers.clone(),
        topic_prefix: config.log.prefix.clone(),
        variables: if lake.is_empty() {
            BTreeMap::new()
        } else {
            BTreeMap::from([("lake".to_owned(), lake)])
        },
        kafka: pairs(&arroyo.kafka),
        delta: pairs(&arroyo.delta),
    };
    let job = |(name, (_, sql)): (&String, &(String, String))| {
        let sql = translate(name, sql, &places)?;
        Ok(Job { name: name.clone(), pipeline: pipeline(name), sql })
    };
    let jobs = jobs.iter().map(job).collect::<Result<_, crave_arroyo::Error>>()?;
    let udfs = arroyo_udfs().into_iter().map(|udf| Udf { name: udf.name.to_owned(), source: udf.source });
    let checkpoint_interval = arroyo.checkpoint_interval;
    Ok(Wanted { jobs, udfs: udfs.collect(), parallelism: arroyo.parallelism, checkpoint_interval, replace })
}

async fn show_status(client: &Client, names: &[(String, String)], json: bool) -> anyhow::Result<ExitCode> {
    let seen = status(client, &|pipeline| names.iter().any(|(_, our)| our == pipeline)).await?;
    let mut all_run = true;
    let mut out = std::io::stdout().lock();
    for (job, pipeline) in names {
        let mut of_job = seen.iter().filter(|s| s.pipeline == *pipeline).peekable();
        if of_job.peek().is_none() {
            all_run = false;
            if json {
                writeln!(out, "{}", json!({ "job": job, "state": null }))?;
            } else {
                writeln!(out, "{job:<14} not deployed")?;
            }
        }
        for s in of_job {
            all_run &= s.state == "Running";
            if json {
                let line = json!({ "job": job, "id": s.id, "state": s.state, "desired": s.desired,
                    "checkpoint": s.checkpoint, "failure": s.failure });
                writeln!(out, "{line}")?;
                continue;
            }
            let checkpoint =
                s.checkpoint.map_or("no checkpoint".into(), |epoch| format!("checkpoint {epoch}"));
            let failure = s.failure.as_deref().map(|f| format!("  {f}")).unwrap_or_default();
            writeln!(out, "{job:<14} {:<20} {checkpoint}  {}{failure}", s.state, s.id)?;
        }
    }
    Ok(if all_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Progress goes to the error output: the plan is the result.
fn tell(told: Told) {
    match told {
        Told::Publishing(name) => {
            eprintln!("{name}() is published; the cluster compiles it, the first takes minutes");
        }
        Told::Doing(job, what) => eprintln!("{job} {what}"),
        Told::State(job, state) => eprintln!("{job} is {state}"),
    }
}

fn print_done(json: bool, value: &serde_json::Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let line = if json { value.to_string() } else { text() };
    writeln!(std::io::stdout().lock(), "{line}").context("printing")
}

fn udf_words(action: &UdfAction) -> (&'static str, Option<&str>) {
    match action {
        UdfAction::Keep => ("keep", None),
        UdfAction::Publish => ("publish", None),
        UdfAction::Replace { .. } => ("publish again", None),
        UdfAction::Refuse { why } => ("refuse", Some(why)),
    }
}

fn job_words(action: &JobAction) -> (&'static str, Option<&str>) {
    match action {
        JobAction::Create => ("create", None),
        JobAction::Keep { .. } => ("keep", None),
        JobAction::Start { .. } => ("start from its checkpoint", None),
        JobAction::Restart { .. } => ("restart from its last checkpoint", None),
        JobAction::Change { .. } => ("rescale from a checkpoint", None),
        JobAction::Replace { .. } => ("replace, without its state", None),
        JobAction::Refuse { why } => ("refuse", Some(why)),
    }
}

fn steps(plan: &Plan) -> impl Iterator<Item = (&'static str, &str, (&'static str, Option<&str>))> {
    let udfs = plan.udfs.iter().map(|(udf, action)| ("function", udf.name.as_str(), udf_words(action)));
    udfs.chain(plan.jobs.iter().map(|(job, action)| ("job", job.name.as_str(), job_words(action))))
}

fn as_text(plan: &Plan) -> String {
    let step = |(kind, name, (what, why)): (&str, &str, (&str, Option<&str>))| {
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("{kind:<8} {name:<16} {what}{why}")
    };
    steps(plan)
        .map(step)
        .chain(plan.notes.iter().map(|note| format!("note: {note}")))
        .collect::<Vec<_>>()
        .join("\n")
}

fn as_json(plan: &Plan) -> serde_json::Value {
    let step = |(kind, name, (what, why))| json!({ "kind": kind, "name": name, "action": what, "why": why });
    json!({ "steps": steps(plan).map(step).collect::<Vec<_>>(), "notes": plan.notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_made_ready_for_a_cluster() {
        let mut config = Config::load(None).unwrap();
        config.arroyo.lake = "s3://bucket/lake/".into();
        config.arroyo.brokers = "kafka:9092".into();
        config.log.prefix = "prod.".into();
        let jobs = job_texts(None).unwrap();
        let wanted = wanted(&config, &jobs, false, &|name| format!("p.{name}")).unwrap();
        assert_eq!(wanted.jobs.len(), jobs.len());
        let recency = wanted.jobs.iter().find(|job| job.name == "recency").unwrap();
        assert!(recency.sql.contains("path = 's3://bucket/lake/recency'"), "{}", recency.sql);
        assert!(recency.sql.contains("topic = 'prod.crave.events.v1'"), "{}", recency.sql);
        let plan = decide(&wanted, &crave_arroyo::Facts::default());
        assert!(as_text(&plan).contains("job      recency          create"), "{}", as_text(&plan));
    }

    #[test]
    fn what_is_missing_is_named() {
        let config = Config::load(None).unwrap();
        let error =
            wanted(&config, &job_texts(None).unwrap(), false, &str::to_owned).unwrap_err().to_string();
        assert!(error.contains("arroyo.brokers") || error.contains("arroyo.lake"), "{error}");
        assert!(
            chosen(job_texts(None).unwrap(), &["gold".into()])
                .unwrap_err()
                .to_string()
                .contains("there are corrections,")
        );
        assert!(client("").unwrap_err().to_string().contains("--arroyo URL"));
    }
}
