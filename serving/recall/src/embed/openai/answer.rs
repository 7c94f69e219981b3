//! Reads and checks an answer: its size, how many vectors it has, and that each is one.

use std::time::Duration;

use async_openai::types::embeddings::CreateEmbeddingResponse;
use chrono::DateTime;
use reqwest::Response;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::{Failed, unsent};

/// Bytes of an answer beside its numbers.
const FRAME_BYTES: usize = 64 << 10;
/// Bytes of one number written out, with white space.
const NUMBER_BYTES: usize = 40;

pub(super) struct Answer {
    pub(super) vectors: Vec<Vec<f32>>,
    pub(super) tokens: u64,
}

/// Most bytes that an honest answer takes.
pub(super) fn bytes_max(texts: usize, dimension: usize) -> usize {
    FRAME_BYTES + texts * (dimension * NUMBER_BYTES + 256)
}

pub(super) async fn read(
    mut response: Response,
    bytes_max: usize,
    texts: usize,
    dimension: usize,
) -> Result<Answer, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unsent(&error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Failed::lasting(format!("answered with more than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    let answer: CreateEmbeddingResponse = serde_json::from_slice(&body)
        .map_err(|_| Failed::lasting("answered in another form than OpenAI's; check its address"))?;
    checked(answer, texts, dimension)
}

/// Vectors in the order of the texts, each of length 1.
fn checked(answer: CreateEmbeddingResponse, texts: usize, dimension: usize) -> Result<Answer, Failed> {
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
    for one in answer.data {
        let found = one.embedding.len();
        if found != dimension {
            return Err(Failed::lasting(format!(
                "gives vectors of {found} numbers, not {dimension}; set `recall.embedder.dimension`"
            )));
        }
        let slot = usize::try_from(one.index).ok().and_then(|at| vectors.get_mut(at));
        let Some(slot) = slot.filter(|slot| slot.is_none()) else {
            return Err(Failed::lasting("numbered its vectors wrongly"));
        };
        *slot = Some(unit(one.embedding).ok_or_else(|| Failed::lasting("gave a vector of no length"))?);
    }
    let vectors: Option<Vec<Vec<f32>>> = vectors.into_iter().collect();
    let vectors = vectors.ok_or_else(|| Failed::lasting("gave fewer vectors than texts"))?;
    Ok(Answer { vectors, tokens: u64::from(answer.usage.total_tokens) })
}

fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if !length.is_finite() || length < 1e-6 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "of numbers of 32 bits")]
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    Some(vector)
}

/// The pause that `Retry-After` asks for, in seconds or as a date, which is told from the answer's own.
pub(super) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = DateTime::parse_from_rfc2822(after).ok()?;
    let now = DateTime::parse_from_rfc2822(text(DATE)?).ok()?;
    Some((at - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use async_openai::types::embeddings::Embedding;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn answer(data: &[(u32, &[f32])]) -> CreateEmbeddingResponse {
        let one = |(index, vector): &(u32, &[f32])| Embedding {
            index: *index,
            embedding: vector.to_vec(),
            ..Embedding::default()
        };
        CreateEmbeddingResponse { data: data.iter().map(one).collect(), ..CreateEmbeddingResponse::default() }
    }

    #[test]
    fn vectors_come_in_the_order_of_their_texts_and_of_length_1() {
        let read = checked(answer(&[(1, &[0.0, 2.0]), (0, &[3.0, 4.0])]), 2, 2).ok().unwrap();
        assert_eq!(read.vectors, [[0.6, 0.8], [0.0, 1.0]]);
    }

    /// Places and vectors.
    type Data<'a> = &'a [(u32, &'a [f32])];

    #[test]
    fn what_is_not_right_is_refused() {
        let table: [(Data<'_>, &str); 7] = [
            (&[(0, &[1.0, 0.0, 0.0])], "3 numbers, not 2"),
            (&[(0, &[1.0, 0.0])], "fewer"),
            (&[(0, &[1.0, 0.0]), (0, &[1.0, 0.0])], "wrongly"),
            (&[(0, &[1.0, 0.0]), (2, &[1.0, 0.0])], "wrongly"),
            (&[(0, &[0.0, 0.0]), (1, &[1.0, 0.0])], "no length"),
            (&[(0, &[f32::NAN, 0.0]), (1, &[1.0, 0.0])], "no length"),
            (&[], "fewer"),
        ];
        for (data, expected) in table {
            let why = checked(answer(data), 2, 2).err().unwrap().why;
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn a_pause_is_read_in_both_forms() {
        let headers = |pairs: &[(HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let date = (DATE, "Wed, 21 Oct 2026 07:28:00 GMT");
        let table = [
            (headers(&[(RETRY_AFTER, "7")]), Some(7)),
            (headers(&[(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:05 GMT"), date.clone()]), Some(5)),
            (headers(&[(RETRY_AFTER, "Wed, 21 Oct 2026 07:27:00 GMT"), date]), Some(0)),
            (headers(&[(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:05 GMT")]), None),
            (headers(&[(RETRY_AFTER, "soon")]), None),
            (headers(&[]), None),
        ];
        for (headers, seconds) in table {
            assert_eq!(pause(&headers), seconds.map(Duration::from_secs));
        }
    }
}
