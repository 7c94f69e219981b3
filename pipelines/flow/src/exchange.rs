//! Bounded channels between tasks: who gets which rows, and how barriers and watermarks of many inputs align.

use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::Instant;

use crate::pipeline::NodeCounters;
use crate::{Error, Result};

/// A task that waits for room says so this often, so that one that is stuck can be seen.
const TOLD: Duration = Duration::from_millis(500);

/// What travels from task to task.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Batch(RecordBatch),
    /// No row before this instant follows (but late ones).
    Watermark(i64),
    /// This input has been silent for long: do not wait for its watermark.
    Idle,
    /// The rows of this epoch end here.
    Barrier(u64),
}

/// What a task is told once its inputs agree.
#[derive(Debug)]
pub(crate) enum Event {
    /// Rows of the input of that number.
    Batch(usize, RecordBatch),
    Watermark(i64),
    Barrier(u64),
    /// Every input has been silent for long.
    Idle,
    /// An input went away: the pipeline is being taken down.
    Closed,
}

/// The inputs of a task.
pub(crate) struct Inbox {
    inputs: Vec<Input>,
    watermark_ns: i64,
    turn: usize,
    /// Told before anything else is taken.
    next: Option<Event>,
}

struct Input {
    /// Which input of the stage this channel is part of.
    number: usize,
    receiver: mpsc::Receiver<Message>,
    watermark_ns: i64,
    idle: bool,
    /// Delivered the barrier that others still owe.
    blocked: bool,
}

impl Inbox {
    /// Channels, each with the number of the stage's input that it belongs to.
    pub(crate) fn new(receivers: Vec<(usize, mpsc::Receiver<Message>)>) -> Self {
        let input = |(number, receiver)| Input {
            number,
            receiver,
            watermark_ns: i64::MIN,
            idle: false,
            blocked: false,
        };
        Self {
            inputs: receivers.into_iter().map(input).collect(),
            watermark_ns: i64::MIN,
            turn: 0,
            next: None,
        }
    }

    /// The next thing to do. An input that has delivered a barrier waits until all have.
    pub(crate) async fn next(&mut self) -> Event {
        if let Some(event) = self.next.take() {
            return event;
        }
        std::future::poll_fn(|context| {
            for _ in 0..self.inputs.len() {
                self.turn = (self.turn + 1) % self.inputs.len();
                if self.inputs[self.turn].blocked {
                    continue;
                }
                while let Poll::Ready(message) = self.inputs[self.turn].receiver.poll_recv(context) {
                    if let Some(event) = self.take(self.turn, message) {
                        return Poll::Ready(event);
                    }
                    if self.inputs[self.turn].blocked {
                        break;
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    fn take(&mut self, at: usize, message: Option<Message>) -> Option<Event> {
        let input = &mut self.inputs[at];
        match message {
            None => Some(Event::Closed),
            Some(Message::Batch(batch)) => {
                input.idle = false;
                Some(Event::Batch(input.number, batch))
            }
            Some(Message::Watermark(ns)) => {
                input.idle = false;
                input.watermark_ns = input.watermark_ns.max(ns);
                self.aligned_watermark()
            }
            Some(Message::Idle) => {
                input.idle = true;
                if self.inputs.iter().any(|i| !i.idle) {
                    return self.aligned_watermark();
                }
                // Nobody holds time back any more: it is where the furthest input left it, whoever fell silent last.
                let furthest = self.inputs.iter().map(|i| i.watermark_ns).max()?;
                let Some(watermark) = self.advance_to(furthest) else { return Some(Event::Idle) };
                self.next = Some(Event::Idle);
                Some(watermark)
            }
            Some(Message::Barrier(epoch)) => {
                input.blocked = true;
                if self.inputs.iter().any(|i| !i.blocked) {
                    return None;
                }
                for input in &mut self.inputs {
                    input.blocked = false;
                }
                Some(Event::Barrier(epoch))
            }
        }
    }

    fn aligned_watermark(&mut self) -> Option<Event> {
        let least = self.inputs.iter().filter(|i| !i.idle).map(|i| i.watermark_ns).min()?;
        self.advance_to(least)
    }

    fn advance_to(&mut self, ns: i64) -> Option<Event> {
        (ns > self.watermark_ns).then(|| {
            self.watermark_ns = ns;
            Event::Watermark(ns)
        })
    }
}

/// Where a task sends what it makes.
pub(crate) struct Outputs {
    senders: Vec<mpsc::Sender<Message>>,
    /// Columns that decide which task gets a row.
    keys: Range<usize>,
    /// Of the node that sends.
    counters: Arc<NodeCounters>,
}

impl Outputs {
    pub(crate) const fn new(
        senders: Vec<mpsc::Sender<Message>>,
        keys: Range<usize>,
        counters: Arc<NodeCounters>,
    ) -> Self {
        Self { senders, keys, counters }
    }

    /// Sends each row to the task of its key; waits while that one is busy.
    pub(crate) async fn send(&self, batch: RecordBatch) -> Result<()> {
        self.counters.left(batch.num_rows());
        if self.senders.len() == 1 || self.keys.is_empty() {
            return self.to(0, Message::Batch(batch)).await;
        }
        for (task, part) in partition(&batch, self.keys.clone(), self.senders.len())?.into_iter().enumerate()
        {
            if part.num_rows() > 0 {
                self.to(task, Message::Batch(part)).await?;
            }
        }
        Ok(())
    }

    /// Sends to every task.
    pub(crate) async fn broadcast(&self, message: &Message) -> Result<()> {
        for task in 0..self.senders.len() {
            self.to(task, message.clone()).await?;
        }
        Ok(())
    }

    /// Time is looked at only where there is no room.
    async fn to(&self, task: usize, message: Message) -> Result<()> {
        let sender = &self.senders[task];
        let message = match sender.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(message)) => message,
            Err(TrySendError::Closed(_)) => return Err(gone()),
        };
        loop {
            let since = Instant::now();
            let room = tokio::time::timeout(TOLD, sender.reserve()).await;
            self.counters.waited(since.elapsed());
            if let Ok(room) = room {
                room.map_err(|_| gone())?.send(message);
                return Ok(());
            }
        }
    }
}

fn gone() -> Error {
    Error::Internal("the next task is gone".into())
}

/// The rows of each of `tasks` tasks; the same key always goes to the same task.
pub(crate) fn partition(batch: &RecordBatch, keys: Range<usize>, tasks: usize) -> Result<Vec<RecordBatch>> {
    if tasks == 1 || keys.is_empty() {
        let mut parts = vec![batch.slice(0, 0); tasks];
        parts[0] = batch.clone();
        return Ok(parts);
    }
    let mut hashes = vec![0; batch.num_rows()];
    create_hashes(&batch.columns()[keys], &RandomState::with_seed(0), &mut hashes)?;
    let mut rows = vec![Vec::with_capacity(batch.num_rows() / tasks + 1); tasks];
    let tasks = u64::try_from(tasks).unwrap_or(1);
    for (row, hash) in hashes.iter().enumerate() {
        // The high bits: the low ones choose the place in the hash table of the task.
        let task = usize::try_from((hash >> 32) % tasks).unwrap_or(0);
        rows[task].push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    rows.into_iter().map(|rows| Ok(take_record_batch(batch, &UInt32Array::from(rows))?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a task with two inputs is told after these messages, each with the number of its input.
    async fn told(messages: &[(usize, Message)]) -> Vec<String> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(8)).unzip();
        let mut inbox = Inbox::new(receivers.into_iter().enumerate().collect());
        let mut told = Vec::new();
        for (input, message) in messages {
            senders[*input].send(message.clone()).await.unwrap();
            while let Ok(event) = tokio::time::timeout(Duration::ZERO, inbox.next()).await {
                told.push(format!("{event:?}"));
            }
        }
        told
    }

    #[tokio::test]
    async fn time_goes_on_whichever_input_falls_silent_last() {
        use Message::{Idle, Watermark};
        let expected = ["Watermark(9)", "Idle"];
        assert_eq!(told(&[(0, Watermark(9)), (1, Idle), (0, Idle)]).await, expected);
        assert_eq!(told(&[(0, Watermark(9)), (0, Idle), (1, Idle)]).await, expected);
        assert_eq!(told(&[(0, Watermark(9)), (0, Idle), (1, Watermark(5)), (1, Idle)]).await.len(), 3);
        assert_eq!(told(&[(0, Idle), (1, Idle)]).await, ["Idle"]);
    }
}
