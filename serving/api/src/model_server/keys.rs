//! Who may ask, and for which adapters. Keys are kept as hashes; an entry has no secret in it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::secret::token_hash;

/// Characters that a key must have, so that it cannot be guessed.
const KEY_CHARS_MIN: usize = 16;
/// Keys in a file.
const KEYS_MAX: usize = 100_000;
/// The tenant of the operator's key.
const OPERATOR: &str = "operator";

/// A set of keys that is none.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The operator's key can be guessed.
    #[error(
        "the key has fewer than {KEY_CHARS_MIN} characters; take a random one, such as `openssl rand -hex 32` makes"
    )]
    Weak,
    /// A line that is no entry.
    #[error("line {line} of the keys: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// More lines than are held.
    #[error("the keys are more than {KEYS_MAX}")]
    TooMany,
}

/// All keys of a server. Immutable: a changed file makes another one.
#[derive(Debug)]
pub struct Keys {
    by_hash: HashMap<String, Arc<Grant>>,
    /// Adapters that every holder may use.
    public: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Grant {
    tenant: String,
    /// `None` is every adapter.
    owns: Option<BTreeSet<String>>,
    /// The holder speaks for many people and says for whom in `user`.
    front: bool,
}

/// A line of a keys file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// SHA-256 of the key, in hex.
    key_sha256: String,
    tenant: String,
    /// Adapters that this tenant alone may use.
    #[serde(default)]
    owns: BTreeSet<String>,
    /// Adapters of this tenant that everybody may use.
    #[serde(default)]
    public: BTreeSet<String>,
    #[serde(default)]
    front: bool,
}

/// A caller whose key is known.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    grant: Arc<Grant>,
}

impl Keys {
    /// The operator's key, which may use every adapter and speaks for many people, and the lines of a keys file: JSON
    /// objects such as `{"key_sha256": "…", "tenant": "sarah", "owns": ["sarah-v2"], "public": ["calm"], "front": false}`.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn new(operator: &str, lines: &str) -> Result<Self, KeysError> {
        if operator.chars().count() < KEY_CHARS_MIN {
            return Err(KeysError::Weak);
        }
        let grant = Grant { tenant: OPERATOR.to_owned(), owns: None, front: true };
        let mut by_hash = HashMap::from([(token_hash(operator), Arc::new(grant))]);
        let mut all_public = BTreeSet::new();
        for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |why: String| KeysError::Line { line: number + 1, why };
            let Line { key_sha256, tenant, mut owns, public, front } =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let hash = key_sha256.to_ascii_lowercase();
            if hash.len() != 64 || hex::decode(&hash).is_err() {
                return Err(wrong(
                    "key_sha256 must be 64 hexadecimal digits: `printf %s KEY | sha256sum`".to_owned(),
                ));
            }
            if tenant.is_empty() || tenant == OPERATOR {
                return Err(wrong(format!("tenant must not be empty nor {OPERATOR:?}")));
            }
            owns.extend(public.iter().cloned());
            all_public.extend(public);
            let grant = Arc::new(Grant { tenant, owns: Some(owns), front });
            if by_hash.insert(hash, grant).is_some() {
                return Err(wrong("the key is there already".to_owned()));
            }
            if by_hash.len() > KEYS_MAX {
                return Err(KeysError::TooMany);
            }
        }
        Ok(Self { by_hash, public: all_public })
    }

    /// Who holds `key`. Look-ups are by hash, so that their time tells nothing of a key.
    pub(super) fn holder(&self, key: &str) -> Option<Holder> {
        let grant = self.by_hash.get(&token_hash(key))?;
        Some(Holder { grant: Arc::clone(grant) })
    }

    /// Whether `holder` may use `adapter`, if there is one of that name.
    pub(super) fn may_use(&self, holder: &Holder, adapter: &str) -> bool {
        holder.grant.owns.as_ref().is_none_or(|owns| owns.contains(adapter)) || self.public.contains(adapter)
    }
}

impl Holder {
    /// The tenant as the engine knows it, for fairness, caps and the prefix cache: the key's, and of a front the person's
    /// for whom it asks. A hash: the engine need not know names.
    pub(super) fn tenant(&self, user: Option<&str>) -> String {
        let mut hash = Sha256::new();
        hash.update((self.grant.tenant.len() as u64).to_le_bytes());
        hash.update(&self.grant.tenant);
        if let Some(user) = user.filter(|_| self.grant.front) {
            hash.update(user);
        }
        hex::encode(hash.finalize())
    }

    /// Holds the operator's key.
    pub(super) fn is_operator(&self) -> bool {
        self.grant.owns.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: &str = "0123456789abcdef";

    fn line(key: &str, rest: &str) -> String {
        format!("{{\"key_sha256\": \"{}\", {rest}}}\n", token_hash(key))
    }

    #[test]
    fn who_may_use_what() {
        let lines = line("a-key", r#""tenant": "a", "owns": ["own"], "public": ["shared"]"#)
            + "\n"
            + &line("b-key", r#""tenant": "b", "front": true"#);
        let keys = Keys::new(OPERATORS, &lines).unwrap();
        let may = |key: &str| {
            let holder = keys.holder(key).unwrap();
            ["own", "shared", "other"].map(|adapter| keys.may_use(&holder, adapter))
        };
        assert_eq!(may("a-key"), [true, true, false]);
        assert_eq!(may("b-key"), [false, true, false]);
        assert_eq!(may(OPERATORS), [true, true, true]);
        assert!(keys.holder("c-key").is_none() && keys.holder("").is_none());

        let tenant = |key: &str, user| keys.holder(key).unwrap().tenant(user);
        assert_eq!(tenant("a-key", Some("x")), tenant("a-key", None), "one key, one place in the queue");
        assert_ne!(tenant("b-key", Some("x")), tenant("b-key", Some("y")));
        assert_ne!(tenant("b-key", Some("x")), tenant(OPERATORS, Some("x")));
    }

    #[test]
    fn bad_files_are_told_by_line() {
        assert!(matches!(Keys::new("short", ""), Err(KeysError::Weak)));
        for (lines, at) in [
            ("{}", 1),
            (&format!("\n{}", line("k", r#""tenant": """#)), 2),
            (&line("k", r#""tenant": "a", "own": []"#), 1),
            (&line("k", r#""tenant": "operator""#), 1),
            (r#"{"key_sha256": "zz", "tenant": "a"}"#, 1),
            (&line("k", r#""tenant": "a""#).repeat(2), 2),
            (&line(OPERATORS, r#""tenant": "a""#), 1),
        ] {
            let error = Keys::new(OPERATORS, lines).unwrap_err();
            assert!(matches!(error, KeysError::Line { line, .. } if line == at), "{lines}: {error}");
        }
    }
}
