//! Protocol tests: deployments against a server of our own that follows Arroyo's REST API and its job states
//! ([`server`]). They show what is sent and what is made of the answers, not that Arroyo runs the queries: that is
//! `tests/system/arroyo.rs`, where `ARROYO_URL` is set.
#![allow(clippy::unwrap_used, clippy::panic, clippy::large_futures, reason = "a test fails by panicking")]

mod server;

use std::time::Duration;

use crave_arroyo::{
    Client, Error, Facts, Job, JobAction, Kind, Plan, Told, Udf, Wanted, Watch, decide, deploy, observe,
    status, stop, validate,
};
use server::{Fault, Shared, start, world};

const QUICK: Watch = Watch { pause: Duration::from_millis(2), steady: 3, limit: Duration::from_millis(400) };

fn job(name: &str, sql: &str) -> Job {
    Job { name: name.into(), pipeline: format!("crave.{name}"), sql: sql.into() }
}

fn udf(name: &str, body: &str) -> Udf {
    Udf {
        name: name.into(),
        source: format!("use arroyo_udf_plugin::udf;\n#[udf]\nfn {name}(n: i64) -> i64 {{ {body} }}"),
    }
}

fn wanted(jobs: Vec<Job>) -> Wanted {
    let checkpoint_interval = Duration::from_secs(10);
    Wanted { jobs, udfs: vec![udf("twice", "n * 2")], parallelism: 2, checkpoint_interval, replace: false }
}

async fn facts(client: &Client) -> Facts {
    observe(client, &|name| name.starts_with("crave.")).await.unwrap()
}

/// Plans and carries out; gives the plan, what was told, and the result.
async fn run(client: &Client, wanted: &Wanted) -> (Plan, Vec<Told>, Result<(), Error>) {
    let plan = decide(wanted, &facts(client).await);
    let mut told = Vec::new();
    let done = deploy(client, &plan, wanted, QUICK, &mut |t| told.push(t)).await;
    (plan, told, done)
}

fn states(told: &[Told], job: &str) -> Vec<String> {
    let of = |t: &Told| match t {
        Told::State(name, state) if name == job => Some(state.clone()),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

fn writes(shared: &Shared) -> Vec<String> {
    std::mem::take(&mut world(shared).writes)
}

#[tokio::test]
async fn a_fresh_cluster_gets_all_and_a_second_time_nothing() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let wanted = wanted(vec![job("gold", "INSERT INTO a SELECT 1"), job("silver", "INSERT INTO b SELECT 2")]);
    validate(&client, &wanted).await.unwrap();
    let (_, told, done) = run(&client, &wanted).await;
    done.unwrap();
    assert_eq!(told[0], Told::Publishing("twice".into()));
    assert_eq!(states(&told, "gold"), ["Compiling", "Scheduling", "Running"]);
    assert_eq!(states(&told, "silver"), ["Compiling", "Scheduling", "Running"]);
    let validations = ["POST /pipelines/validate_query"; 2];
    assert_eq!(
        writes(&shared),
        [&validations[..], &["POST /udfs", "POST /pipelines", "POST /pipelines"]].concat()
    );

    let (plan, _, done) = run(&client, &wanted).await;
    done.unwrap();
    assert!(plan.jobs.iter().all(|(_, action)| matches!(action, JobAction::Keep { .. })), "{plan:?}");
    assert_eq!(writes(&shared), Vec::<String>::new());
}

#[tokio::test]
async fn a_stopped_job_and_a_failed_one_go_on_with_their_state() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let one = wanted(vec![job("gold", "INSERT INTO a SELECT 1")]);
    run(&client, &one).await.2.unwrap();
    let mut told = Vec::new();
    stop(&client, &[("gold".into(), "crave.gold".into())], QUICK, &mut |t| told.push(t)).await.unwrap();
    assert_eq!(states(&told, "gold"), ["CheckpointStopping", "Stopping", "Stopped"]);
    let seen = status(&client, &|_| true).await.unwrap();
    assert_eq!((seen[0].state.as_str(), seen[0].desired, seen[0].checkpoint), ("Stopped", false, Some(1)));

    let id = world(&shared).pipelines[0].id.clone();
    let (plan, _, done) = run(&client, &one).await;
    done.unwrap();
    assert_eq!(plan.jobs[0].1, JobAction::Start { id: id.clone() });
    world(&shared).pipelines[0].state = "Failed".into();
    let (plan, told, done) = run(&client, &one).await;
    done.unwrap();
    assert_eq!(plan.jobs[0].1, JobAction::Restart { id: id.clone() });
    assert_eq!(states(&told, "gold").last().unwrap(), "Running");
    let pipelines = world(&shared).pipelines.clone();
    assert_eq!((pipelines.len(), &pipelines[0].id), (1, &id), "the same job, so its state");
}

#[tokio::test]
async fn a_job_that_fails_is_told_with_arroyos_words() {
    let (address, _) = start().await;
    let client = Client::new(&address, None).unwrap();
    let (_, told, done) =
        run(&client, &wanted(vec![job("gold", "INSERT INTO a SELECT fails_running")])).await;
    let error = done.unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    assert_eq!(error.to_string(), "gold is Failed: UDF panicked; Task failed (index out of bounds)");
    assert_eq!(
        states(&told, "gold"),
        ["Compiling", "Scheduling", "Running", "Recovering", "Failing", "Failed"]
    );
    let seen = status(&client, &|_| true).await.unwrap();
    assert!(seen[0].failure.as_ref().unwrap().contains("index out of bounds"));
}

#[tokio::test]
async fn another_query_is_refused_until_it_may_replace() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    run(&client, &wanted(vec![job("gold", "INSERT INTO a SELECT 1")])).await.2.unwrap();
    let old = world(&shared).pipelines[0].id.clone();
    writes(&shared);

    let mut changed = wanted(vec![job("gold", "INSERT INTO a SELECT 2")]);
    let error = run(&client, &changed).await.2.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("--replace"), "{error}");
    assert_eq!(writes(&shared), Vec::<String>::new(), "a refusal changes nothing");

    changed.replace = true;
    run(&client, &changed).await.2.unwrap();
    {
        let world = world(&shared);
        assert_eq!(world.pipelines.len(), 1);
        assert!(world.pipelines[0].id != old && world.pipelines[0].state == "Running");
    }
    let expected =
        [format!("PATCH /pipelines/{old}"), "POST /pipelines".into(), format!("DELETE /pipelines/{old}")];
    assert_eq!(writes(&shared), expected, "the old one goes last");
}

#[tokio::test]
async fn a_replacement_that_fails_leaves_the_old_job_running() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    run(&client, &wanted(vec![job("gold", "INSERT INTO a SELECT 1")])).await.2.unwrap();
    let old = world(&shared).pipelines[0].id.clone();
    let replace = |sql: &str| Wanted { replace: true, ..wanted(vec![job("gold", sql)]) };
    for (sql, kind) in [("SELECT fails_running", Kind::Failed), ("SELECT cannot_plan", Kind::Invalid)] {
        let error = run(&client, &replace(sql)).await.2.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let world = world(&shared);
        assert_eq!(world.pipelines.len(), 1, "{sql}");
        assert_eq!((&world.pipelines[0].id, world.pipelines[0].state.as_str()), (&old, "Running"), "{sql}");
    }
}

#[tokio::test]
async fn settings_change_in_place() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let mut wanted = wanted(vec![job("gold", "INSERT INTO a SELECT 1")]);
    run(&client, &wanted).await.2.unwrap();
    wanted.parallelism = 4;
    wanted.checkpoint_interval = Duration::from_secs(30);
    let (_, told, done) = run(&client, &wanted).await;
    done.unwrap();
    assert_eq!(states(&told, "gold"), ["Scheduling", "Running"]);
    let world = world(&shared);
    assert_eq!((world.pipelines[0].parallelism, world.pipelines[0].interval), (4, 30_000_000));
}

#[tokio::test]
async fn functions_are_replaced_only_by_ones_that_compile() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let mut wanted = wanted(vec![]);
    run(&client, &wanted).await.2.unwrap();
    writes(&shared);
    wanted.udfs = vec![udf("twice", "n + n")];
    run(&client, &wanted).await.2.unwrap();
    let id = "udf_1";
    assert_eq!(writes(&shared), ["POST /udfs/validate", &format!("DELETE /udfs/{id}"), "POST /udfs"]);

    for (body, name) in [("compile_error!()", "twice"), ("compile_error!()", "thrice")] {
        wanted.udfs = vec![udf(name, body)];
        let error = run(&client, &wanted).await.2.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("error: expected one of"), "the compiler's words: {error}");
    }
    assert_eq!(world(&shared).udfs.len(), 1, "the one that compiled is still there");
}

#[tokio::test]
async fn what_arroyo_cannot_plan_is_told_with_its_place() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let wanted = wanted(vec![job("gold", "SELECT cannot_plan"), job("silver", "SELECT 1")]);
    let error = validate(&client, &wanted).await.unwrap_err();
    assert!(error.to_string().contains("gold:3:8: column 'x' not found\n  gold: and more"), "{error}");
    assert!(world(&shared).pipelines.is_empty());
}

#[tokio::test]
async fn faults_on_the_way() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let one = wanted(vec![job("gold", "INSERT INTO a SELECT 1")]);

    // Reading is tried again; a lost answer to a creation is looked up, not asked twice.
    world(&shared).faults.extend([
        ("GET /ping", Fault::Status(503)),
        ("GET /udfs", Fault::Status(429)),
        ("POST /udfs", Fault::LostAnswer),
        ("POST /pipelines", Fault::LostAnswer),
        ("GET /pipelines/", Fault::Status(502)),
    ]);
    run(&client, &one).await.2.unwrap();
    assert_eq!(writes(&shared), ["POST /udfs", "POST /pipelines"]);
    let (udfs, pipelines) = {
        let world = world(&shared);
        (world.udfs.len(), world.pipelines.len())
    };
    assert_eq!((udfs, pipelines), (1, 1));

    // What was not carried out and may not be repeated is an error.
    world(&shared).faults.push_back(("POST /pipelines", Fault::Status(503)));
    let two = wanted(vec![job("silver", "INSERT INTO b SELECT 1")]);
    assert_eq!(run(&client, &two).await.2.unwrap_err().kind(), Kind::Unavailable);

    // Faults that last are not asked for ever.
    let before = world(&shared).reads;
    world(&shared).faults.extend([("GET /ping", Fault::Status(503)); 9]);
    let error = observe(&client, &|_| true).await.unwrap_err();
    assert_eq!((error.kind(), world(&shared).reads - before), (Kind::Unavailable, 5));
    world(&shared).faults.clear();

    world(&shared).faults.push_back(("GET /ping", Fault::Page));
    let error = observe(&client, &|_| true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("port 5115"), "{error}");
}

#[tokio::test]
async fn nobody_there_and_the_wrong_token() {
    let nobody = Client::new("http://127.0.0.1:1", None).unwrap();
    let error = observe(&nobody, &|_| true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);

    let (address, shared) = start().await;
    world(&shared).token = Some("right");
    let wrong = Client::new(&address, Some("wrong")).unwrap();
    let error = observe(&wrong, &|_| true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(!format!("{error:?}").contains("wrong"), "no token in a message");
    assert_eq!(world(&shared).reads, 1, "a refusal is not asked again");
    observe(&Client::new(&address, Some("right")).unwrap(), &|_| true).await.unwrap();
}

#[tokio::test]
async fn every_page_is_read_and_names_are_unique() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    for i in 0..120 {
        run(&client, &Wanted { udfs: vec![], ..wanted(vec![job(&format!("j{i}"), "SELECT 1")]) })
            .await
            .2
            .unwrap();
    }
    assert_eq!(facts(&client).await.pipelines.len(), 120);
    let twin = world(&shared).pipelines[7].clone();
    world(&shared).pipelines.push(server::Pipeline { id: "pl_twin".into(), ..twin });
    let error = run(&client, &wanted(vec![job("j7", "SELECT 1")])).await.2.unwrap_err();
    assert!(error.to_string().contains("2 pipelines are named crave.j7"), "{error}");
}

#[tokio::test]
async fn a_job_that_does_not_come_up_is_given_up_and_unknown_names_are_told() {
    let (address, shared) = start().await;
    let client = Client::new(&address, None).unwrap();
    let one = wanted(vec![job("gold", "INSERT INTO a SELECT 1")]);
    run(&client, &one).await.2.unwrap();
    // A state that this machine never leaves.
    world(&shared).pipelines[0].state = "Restarting".into();
    let error = run(&client, &one).await.2.unwrap_err();
    assert!(matches!(&error, Error::Slow { state, .. } if state == "Restarting"), "{error}");

    let names = [("gold".to_owned(), "crave.gold".to_owned()), ("lead".to_owned(), "crave.lead".to_owned())];
    writes(&shared);
    let error = stop(&client, &names, QUICK, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(writes(&shared), Vec::<String>::new(), "none is stopped");
}
