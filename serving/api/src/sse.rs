//! Server-sent events, as every stream of ours is sent.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse as _, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _};

/// Between comments that keep a silent stream open through proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The events as they come; whoever leaves drops the stream.
pub(crate) fn stream(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let sse = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies such as nginx would else hold the events back.
    ([("x-accel-buffering", "no")], sse).into_response()
}
