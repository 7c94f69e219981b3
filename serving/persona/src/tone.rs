//! How a coach's answer begins and ends, by its tone. Pure, and without a digit: numbers come from facts alone.

use crate::Tone;

/// What an answer is, as far as its tone goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It tells what the log says.
    Told,
    /// There is too little to tell.
    TooLittle,
}

/// The sentences before and after an answer; a crisis and what is out of scope are never framed.
#[must_use]
pub const fn frame(tone: Tone, occasion: Occasion) -> (Option<&'static str>, Option<&'static str>) {
    match (tone, occasion) {
        (Tone::Warm, Occasion::Told) => (
            Some("Good that you ask; here is what your log tells."),
            Some("Be kind to yourself with it: noticing is already a step."),
        ),
        (Tone::Warm, Occasion::TooLittle) => (None, Some("Every note you make helps; take your time.")),
        (Tone::Direct, Occasion::Told) => (None, Some("Pick one of these and change it today.")),
        (Tone::Direct, Occasion::TooLittle) => (None, Some("Log each craving when it comes.")),
        (Tone::Neutral, _) => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frame_has_a_digit_and_each_tone_speaks_its_own_way() {
        let mut said = Vec::new();
        for tone in [Tone::Warm, Tone::Direct, Tone::Neutral] {
            for occasion in [Occasion::Told, Occasion::TooLittle] {
                let (before, after) = frame(tone, occasion);
                for text in [before, after].into_iter().flatten() {
                    assert!(!text.chars().any(char::is_numeric), "{text}");
                    assert!(text.ends_with('.') && !said.contains(&text), "{text}");
                    said.push(text);
                }
            }
        }
        assert_eq!(said.len(), 5);
        assert_eq!(frame(Tone::Neutral, Occasion::Told), (None, None));
    }
}
