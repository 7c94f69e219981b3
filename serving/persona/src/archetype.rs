//! Archetypes as data.

use chrono::Datelike as _;
use serde::Deserialize;

use crate::{Craving, Error, Tone};

/// A kind of craver.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archetype {
    /// Its name in data.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it means.
    pub definition: String,
    /// What is craved, any of these.
    pub(crate) craved: Vec<String>,
    /// How its coach speaks, unless the person chose otherwise.
    pub coach_tone: Tone,
    /// The LoRA adapter that speaks for it.
    pub adapter: String,
    /// Days that must be covered.
    #[serde(default)]
    pub(crate) days_min: i64,
    /// All must be seen.
    pub(crate) signs: Vec<Sign>,
}

/// Something that cravings have in common: what is set must all hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sign {
    pub(crate) name: String,
    /// Local hours.
    #[serde(default)]
    hours: Vec<i64>,
    /// 0 = Sunday.
    #[serde(default)]
    weekdays: Vec<i64>,
    #[serde(default)]
    months: Vec<u32>,
    /// Parts of the trigger's words.
    #[serde(default)]
    triggers: Vec<String>,
    #[serde(default)]
    company: Vec<String>,
    /// The least true share of cravings with the sign, and the share by chance.
    #[serde(default)]
    pub(crate) share: f64,
    #[serde(default)]
    pub(crate) chance: f64,
    /// Instead: by how many points intensity falls from the earlier half to the later.
    pub(crate) falls: Option<f64>,
}

impl Sign {
    /// Whether a craving has the sign; `None` when it does not tell.
    pub(crate) fn of(&self, craving: &Craving) -> Option<bool> {
        let trigger = craving.trigger.as_deref().map(str::to_lowercase);
        if (!self.triggers.is_empty() && trigger.is_none())
            || (!self.company.is_empty() && craving.company.is_none())
        {
            return None;
        }
        let in_hours = self.hours.is_empty() || self.hours.contains(&craving.local_hour);
        let on_days = self.weekdays.is_empty() || self.weekdays.contains(&craving.local_dow);
        let in_months = self.months.is_empty() || self.months.contains(&craving.local_date.month());
        let set_off = trigger.is_none_or(|trigger| {
            self.triggers.is_empty() || self.triggers.iter().any(|part| trigger.contains(part.as_str()))
        });
        let with = craving
            .company
            .as_ref()
            .is_none_or(|company| self.company.is_empty() || self.company.contains(company));
        Some(in_hours && on_days && in_months && set_off && with)
    }
}

/// All archetypes.
///
/// # Errors
/// [`Error::Archetypes`] when the file that is compiled in does not parse.
pub fn archetypes() -> Result<Vec<Archetype>, Error> {
    #[derive(Deserialize)]
    struct File {
        archetype: Vec<Archetype>,
    }
    let file: File = toml::from_str(include_str!("archetypes.toml"))?;
    Ok(file.archetype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_archetype_has_a_sign_and_a_chance_below_its_share() {
        let all = archetypes().unwrap();
        assert!(all.len() >= 5);
        for archetype in &all {
            assert!(!archetype.signs.is_empty() && !archetype.craved.is_empty(), "{}", archetype.id);
            for sign in archetype.signs.iter().filter(|sign| sign.falls.is_none()) {
                assert!(0.0 < sign.chance && sign.chance < sign.share && sign.share < 1.0, "{}", sign.name);
            }
        }
    }
}
