//! An answer while it is made: each sentence that a model says as it is released, then the whole.

use std::pin::Pin;

use axum::response::{Response, sse::Event};
use crave_insight::{Answer, Coach, Sentence};
use futures::{Stream, StreamExt as _, future::BoxFuture};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{error::ApiError, sse};

/// Sentences that wait for a slow client; then the model waits.
const WAITING_MAX: usize = 8;

/// What comes, in order: sentences, then the end.
pub(super) enum Said<T> {
    Sentence(Sentence),
    Done(T),
}

/// What `work` says with the coach it is given. Dropping the stream drops the work, and with it the model's request.
pub(super) fn said<T: Send + 'static>(
    coach: Coach,
    work: impl FnOnce(Coach) -> BoxFuture<'static, T>,
) -> impl Stream<Item = Said<T>> + Send + 'static {
    let (sink, mut sentences) = mpsc::channel(WAITING_MAX);
    let mut work = work(Coach { sink: Some(sink), ..coach });
    async_stream::stream! {
        let end = loop {
            tokio::select! {
                biased;
                Some(sentence) = sentences.recv() => yield Said::Sentence(sentence),
                end = &mut work => break end,
            }
        };
        while let Ok(sentence) = sentences.try_recv() {
            yield Said::Sentence(sentence);
        }
        yield Said::Done(end);
    }
}

/// Server-sent events: a `sentence` each, then `done` with the whole, or `error`. What fails before the first sentence has
/// its status.
pub(super) async fn events<T>(
    said: impl Stream<Item = Said<Result<T, ApiError>>> + Send + 'static,
    answer: fn(&T) -> &Answer,
) -> Result<Response, ApiError>
where
    T: Serialize + Send + 'static,
{
    let mut said: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(said);
    let first = match said.next().await {
        Some(Said::Done(Err(error))) => return Err(error),
        first => first,
    };
    let mut said = futures::stream::iter(first).chain(said);
    let events = async_stream::stream! {
        let mut released = false;
        while let Some(one) = said.next().await {
            match one {
                Said::Sentence(sentence) => {
                    released = true;
                    yield event("sentence", &sentence);
                }
                Said::Done(Ok(whole)) => {
                    // What nobody generated comes at once.
                    for sentence in answer(&whole).sentences.iter().filter(|_| !released) {
                        yield event("sentence", sentence);
                    }
                    yield event("done", &whole);
                }
                Said::Done(Err(error)) => yield event("error", &error.body()),
            }
        }
    };
    Ok(sse::stream(events))
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_else(|_| Event::default().event("error").data("{}"))
}
