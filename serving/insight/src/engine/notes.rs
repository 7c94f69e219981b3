//! Notes that explain the cravings in question: found by meaning, words and time, quoted as the person wrote them.

use chrono::{DurationRound as _, TimeDelta};

use super::*;

/// Memories looked at.
const LOOKED_AT: usize = 40;
/// Longest quote, in characters.
const QUOTE_CHARS_MAX: usize = 240;

impl Insights {
    /// At most two notes of the cravings that the answer speaks of, those with its trigger first.
    pub(super) async fn notes(
        &self,
        user: &UserId,
        question: &str,
        query: &Query,
        period: &Period,
        facts: &HashMap<Role, Fact>,
    ) -> Vec<(Role, Note, DateTime<Utc>)> {
        let Some(recall) = &self.recall else { return Vec::new() };
        let trigger = facts.get(&Role::Trigger).map(|fact| fact.value.written()).unwrap_or_default();
        let text = format!("{question} {} {trigger}", query.subject());
        let text: String = text.chars().take(1_000).collect();
        let options = SearchOptions {
            k: LOOKED_AT,
            kinds: vec![SourceKind::Note],
            // Whole days, so that the same question has the same notes to choose from all day; what is too old is in
            // none of the facts' rows.
            from: Some(period.since.duration_trunc(TimeDelta::days(1)).unwrap_or(period.since)),
            ..SearchOptions::new(period.until)
        };
        let hits = match recall.search(user, &text, &options).await {
            Ok(hits) => hits,
            Err(error) => {
                // Without notes the answer is poorer, not wrong.
                tracing::warn!(%error, "notes could not be searched");
                return Vec::new();
            }
        };
        let rows = |role: Role| facts.get(&role).map(|fact| fact.rows.as_slice()).unwrap_or_default();
        let slot = if query.has_slot() { Role::InSlot } else { Role::Total };
        let of = |role: Role| hits.iter().filter(move |hit| rows(role).contains(&hit.memory.source_id));
        let mut chosen: Vec<&crave_recall::Hit> = Vec::new();
        for hit in of(Role::TriggerN).chain(of(slot)) {
            let seen = chosen.iter().any(|one| one.memory.source_id == hit.memory.source_id);
            // Nobody's darkest words are held up to them in a statistic.
            if !seen && screen(&hit.memory.text).is_none() {
                chosen.push(hit);
            }
        }
        let note = |(role, hit): (Role, &crave_recall::Hit)| {
            let note = Note { event_id: hit.memory.source_id.clone(), quote: quote(&hit.memory.text) };
            (role, note, hit.memory.event_time)
        };
        [Role::NoteA, Role::NoteB].into_iter().zip(chosen).map(note).collect()
    }
}

/// The text in one line, cut after a word where it is long.
pub(crate) fn quote(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= QUOTE_CHARS_MAX {
        return line;
    }
    let head: String = line.chars().take(QUOTE_CHARS_MAX).collect();
    let cut = head.rsplit_once(' ').map_or(head.as_str(), |(head, _)| head);
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_after_a_word() {
        assert_eq!(quote("two\n lines "), "two lines");
        let long = quote(&"word ".repeat(100));
        assert!(long.ends_with("word…") && long.chars().count() <= QUOTE_CHARS_MAX + 1, "{long}");
    }
}
