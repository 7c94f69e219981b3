use super::*;

fn wanted() -> Wanted {
    Wanted {
        jobs: vec![Job {
            name: "gold".into(),
            pipeline: "crave.gold".into(),
            sql: "INSERT INTO a SELECT part(x) FROM b;".into(),
        }],
        udfs: vec![Udf { name: "part".into(), source: "new".into() }],
        parallelism: 2,
        checkpoint_interval: Duration::from_secs(10),
        replace: false,
    }
}

fn pipeline(state: &str) -> PipelineFact {
    PipelineFact {
        id: "pl_1".into(),
        name: "crave.gold".into(),
        query: "-- as before\ninsert INTO a SELECT part(x)\nFROM b".replace("insert", "INSERT"),
        parallelism: vec![2, 2],
        checkpoint_interval: Duration::from_secs(10),
        state: state.into(),
        desired: true,
    }
}

fn job(wanted: &Wanted, pipelines: Vec<PipelineFact>) -> JobAction {
    let plan = decide(wanted, &Facts { pipelines, ..Facts::default() });
    let [(_, action)] = &plan.jobs[..] else { panic!("one job, one step") };
    action.clone()
}

#[test]
fn jobs() {
    let id = || "pl_1".to_owned();
    let change = |parallelism, seconds: Option<u64>| JobAction::Change {
        id: id(),
        parallelism,
        checkpoint_interval: seconds.map(Duration::from_secs),
    };
    let of = |state: &str| vec![pipeline(state)];
    let table = [
        (vec![], JobAction::Create),
        (vec![PipelineFact { name: "crave.silver".into(), ..pipeline("Running") }], JobAction::Create),
        (of("Running"), JobAction::Keep { id: id() }),
        (of("Scheduling"), JobAction::Keep { id: id() }),
        (of("Recovering"), JobAction::Keep { id: id() }),
        (vec![PipelineFact { desired: false, ..pipeline("Stopped") }], JobAction::Start { id: id() }),
        (of("Failed"), JobAction::Restart { id: id() }),
        (vec![PipelineFact { parallelism: vec![2, 1], ..pipeline("Running") }], change(Some(2), None)),
        (
            vec![PipelineFact {
                parallelism: vec![4],
                checkpoint_interval: Duration::from_secs(1),
                ..pipeline("Running")
            }],
            change(Some(2), Some(10)),
        ),
    ];
    for (pipelines, expected) in table {
        assert_eq!(job(&wanted(), pipelines.clone()), expected, "{pipelines:?}");
    }
}

#[test]
fn what_only_a_person_can_decide() {
    let changed = || PipelineFact { query: "INSERT INTO a SELECT y FROM b;".into(), ..pipeline("Running") };
    let table = [
        (vec![changed()], "with --replace"),
        (
            vec![pipeline("Running"), PipelineFact { id: "pl_2".into(), ..pipeline("Failed") }],
            "delete all but one",
        ),
        (vec![pipeline("Finished")], "to the end"),
        (vec![PipelineFact { desired: false, ..pipeline("CheckpointStopping") }], "being stopped"),
    ];
    for (pipelines, says) in table {
        let JobAction::Refuse { why } = job(&wanted(), pipelines) else { panic!("{says}") };
        assert!(why.contains(says), "{why}");
    }
    let replace = Wanted { replace: true, ..wanted() };
    assert_eq!(job(&replace, vec![changed()]), JobAction::Replace { id: "pl_1".into() });
    let plan = decide(&replace, &Facts { pipelines: vec![changed()], ..Facts::default() });
    assert!(plan.notes[0].contains("writes all rows again"), "the loss is said: {:?}", plan.notes);
    // Allowed or not, an unchanged job is left alone.
    assert_eq!(job(&replace, vec![pipeline("Running")]), JobAction::Keep { id: "pl_1".into() });
}

#[test]
fn functions() {
    let fact = |prefix: &str, source: &str| UdfFact {
        id: "udf_1".into(),
        prefix: prefix.into(),
        name: "part".into(),
        source: source.into(),
    };
    let table = [
        (vec![], UdfAction::Publish),
        (vec![fact("crave", "new")], UdfAction::Keep),
        (vec![fact("ada", "new")], UdfAction::Keep),
        (vec![fact("crave", "old")], UdfAction::Replace { id: "udf_1".into() }),
    ];
    for (udfs, expected) in table {
        let plan = decide(&wanted(), &Facts { udfs: udfs.clone(), ..Facts::default() });
        assert_eq!(plan.udfs[0].1, expected, "{udfs:?}");
        assert_eq!(plan.refused(), Vec::<String>::new());
    }
    let foreign = Facts { udfs: vec![fact("ada", "other")], ..Facts::default() };
    assert!(decide(&wanted(), &foreign).refused()[0].contains("under 'ada'"));
    let old = Facts { udfs: vec![fact("crave", "old")], pipelines: vec![pipeline("Running")] };
    assert!(
        decide(&wanted(), &old).notes[0].contains("part changed, but gold keeps"),
        "a job that keeps its build is told"
    );
}
