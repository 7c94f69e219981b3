//! The whole pipeline in one process and one thread, on a clock of its own, with faults and deaths, as a seed says.
//!
//! People send, send again, correct and take back; the event log fails, or fails after it has done its work; steps of
//! the commit protocol, of checkpoints, of repairs fail; the node dies at any of them and starts again from what is
//! durable. At the end the faults are over, all is drained, and [`check`] compares the tables with what was sent.
//!
//! A seed decides who sends what, the order of the driver's actions, the batches the jobs read, which pass of which
//! place fails, parallelism and checkpoints. It does not decide the order in which blocking work of one moment ends
//! (files are written on tokio's blocking threads), nor, where the node dies while several tables are written, which
//! of them had got how far. A failure therefore comes again with its seed nearly always, not always.
//!
//! `SIM_SEEDS=N` runs seeds 1 to N (default 8), after those of `failed_seeds.txt`; `SIM_SEED=S` runs one.

mod check;
mod faults;
mod log;
mod node;
mod world;

use std::{
    collections::BTreeMap,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::Arc,
};

use chrono::{DateTime, TimeDelta};
use crave_flow::PipelineOptions;
use crave_schemas::ManualClock;
use crave_tables::{Bounds, maintain};

use self::{
    faults::{Faults, Plan},
    log::SimLog,
    node::{Durable, Node, now},
    world::World,
};
use crate::support::Dice;

const PARTITIONS: u64 = 3;

#[test]
fn seeds_lose_and_double_nothing() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/simulation/failed_seeds.txt");
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("SIM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let failed = std::fs::read_to_string(&kept).unwrap();
            let failed = failed.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
            failed.chain(1..=number("SIM_SEEDS").unwrap_or(8)).collect()
        }
    };
    let mut struck = BTreeMap::<String, (u64, u64)>::new();
    let mut told = [0; 3];
    for &seed in &seeds {
        match catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
            Ok((events, lives, faults)) => {
                told =
                    [told[0] + events, told[1] + lives, told[2] + faults.values().map(|f| f.0).sum::<u64>()];
                for (place, (failures, deaths)) in faults {
                    let all = struck.entry(place).or_default();
                    *all = (all.0 + failures, all.1 + deaths);
                }
            }
            Err(panic) => {
                println!("seed {seed} fails; SIM_SEED={seed} runs it alone");
                let mut file = std::fs::OpenOptions::new().append(true).open(&kept).unwrap();
                writeln!(file, "{seed}").unwrap();
                resume_unwind(panic);
            }
        }
    }
    crave_flow::strike_failpoints(None);
    println!("{} seeds: {} events, {} lives, {} failed steps", seeds.len(), told[0], told[1], told[2]);
    println!("failures and deaths by place: {struck:?}");
}

/// Runs one seed; gives events sent, lives of the node, and what failed where.
fn simulate(seed: u64) -> (u64, u64, BTreeMap<String, (u64, u64)>) {
    let mut world = World::new(seed);
    let faults = Arc::new(Faults::default());
    faults.install();
    let partitions = 1 + world.dice.below(PARTITIONS);
    let log = SimLog::new(u32::try_from(partitions).unwrap(), world.dice.roll(), Arc::clone(&faults));
    // The files are real; in memory they are quick.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let start = DateTime::from_timestamp(1_772_323_200, 0).unwrap();
    let durable = Arc::new(Durable {
        folder: folder.unwrap(),
        log: Arc::new(log),
        clock: Arc::new(ManualClock::at(start)),
        seen: Arc::default(),
    });
    let lives = 2 + world.dice.below(5);
    for life in 0..lives {
        let one_in = [0, 30, 150, 600][usize::try_from(world.dice.below(4)).unwrap()];
        let within = [60, 300, 1_000][usize::try_from(world.dice.below(3)).unwrap()];
        let dies_at = (world.dice.below(3) > 0).then(|| 1 + world.dice.below(within));
        faults.begin(Plan { seed: seed ^ (life << 32), one_in, dies_at });
        in_a_process_of_its_own(async {
            tokio::select! {
                biased;
                () = faults.death() => {}
                () = live(&mut world, &durable, &faults) => {}
            }
        });
    }
    faults.begin(Plan::default());
    in_a_process_of_its_own(last_life(&mut world, &durable));
    (world.events.len() as u64, lives + 1, faults.struck())
}

/// A runtime is a process: dropping it drops every task, and waits for blocking work that was begun.
fn in_a_process_of_its_own(life: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(life);
}

fn options(dice: &mut Dice) -> PipelineOptions {
    let size = |n: u64| usize::try_from(n).unwrap();
    PipelineOptions {
        parallelism: size(1 + dice.below(3)),
        checkpoint_interval: None,
        checkpoint_rows: (dice.below(3) == 0).then(|| 5 + dice.below(60)),
        channel_batches: size(1 + dice.below(4)),
        batch_rows: size([2, 64, 8192][size(dice.below(3))]),
        keep_checkpoints: size(1 + dice.below(3)),
        ..PipelineOptions::default()
    }
}

async fn live(world: &mut World, durable: &Arc<Durable>, faults: &Faults) {
    let options = options(&mut world.dice);
    let mut node = match Node::start(durable, options).await {
        Ok(node) => node,
        // A start that fails is a life that ends: the next one begins from what it left.
        Err(error) => return tracing::debug!(error, "the node does not start"),
    };
    let partitions = node.admit.log.partitions();
    for _ in 0..10 + world.dice.below(50) {
        match world.dice.below(16) {
            0..=3 => world.send(&durable.log, now(durable)).await,
            4 => world.send_again(&durable.log).await,
            5 => {
                let minutes = [1, 20, 300, 1_500, 4_000][usize::try_from(world.dice.below(5)).unwrap()];
                durable.clock.advance(TimeDelta::minutes(minutes));
            }
            6..=8 => {
                let partition = world.dice.below(u64::from(partitions));
                node.admit(u32::try_from(partition).unwrap()).await;
            }
            9..=11 => {
                durable.log.show(1 + world.dice.below(4));
                node.settle().await;
            }
            12 | 13 => {
                let _ = node.jobs.checkpoint().await;
            }
            14 => tokio::select! {
                biased;
                _ = node.repair.round() => {}
                // Until they run again, a repair waits behind the epoch that was not finished.
                _ = node.jobs.join() => {}
            },
            _ => tidy(&node, world).await,
        }
        if node.jobs.status().finished && world.dice.below(3) > 0 {
            node.revive().await;
        }
    }
    match world.dice.below(3) {
        0 => {
            let _ = node.jobs.stop_at_checkpoint().await;
        }
        1 => {
            // The process is well again: it goes on without a restart.
            faults.begin(Plan::default());
            assert!(node.revive().await, "the jobs start again in the same process");
            durable.log.show(4);
            node.settle().await;
            node.jobs.checkpoint().await.unwrap();
            node.repair.drain().await.unwrap();
            tidy(&node, world).await;
        }
        // It is killed.
        _ => {}
    }
}

/// What goes on in the background: few files, a short inbox.
async fn tidy(node: &Node, world: &mut World) {
    let bounds = Bounds { live_files_max: 3, vacuum_after: TimeDelta::zero() };
    for table in node.tables.written() {
        let _ = maintain(&table, node.observer.committed(), bounds).await;
    }
    let log = &node.admit.log;
    let partition = u32::try_from(world.dice.below(u64::from(log.partitions()))).unwrap();
    if let Ok(position) = log.position(partition).await
        && position > 0
    {
        let _ = log.trim(crave_connect::log::Topic::Inbox, partition, position - 1).await;
    }
}

/// Nothing fails any more: all that was sent arrives, time goes on, what is dirty is repaired.
async fn last_life(world: &mut World, durable: &Arc<Durable>) {
    let node = Node::start(durable, options(&mut world.dice)).await.unwrap();
    world.send_again(&durable.log).await;
    for round in 0..3 {
        // Twice, for what lay in a wrong partition; then a heartbeat.
        for _ in 0..2 {
            for partition in 0..node.admit.log.partitions() {
                node.admit.drain(partition).await.unwrap();
            }
        }
        if round > 0 {
            durable.clock.advance(TimeDelta::days(2));
        }
        for partition in 0..node.admit.log.partitions() {
            assert!(!node.admit(partition).await);
        }
        durable.log.show(4);
        node.settle().await;
        node.jobs.checkpoint().await.unwrap();
    }
    check::check(&node, durable, world).await;
    node.jobs.stop_at_checkpoint().await.unwrap();
}
