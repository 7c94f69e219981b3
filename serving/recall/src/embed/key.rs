//! A secret that is never printed.

use std::fmt;
use std::path::Path;

use crate::{Error, Result};

/// Longest key, in bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// The key of a remote service. It has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

impl Key {
    /// A key as it stands, without the white space around it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty or cannot stand in a header.
    pub fn new(key: &str) -> Result<Self> {
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("key", "must be visible ASCII without spaces"));
        }
        Ok(Self(key.to_owned()))
    }

    /// Reads a key from a file that nobody but its owner may read.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Invalid`] when others may read it or it holds no key.
    pub fn from_file(path: &Path) -> Result<Self> {
        let io = |error| Error::io("read", path, error);
        let about = std::fs::metadata(path).map_err(io)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if about.permissions().mode() & 0o077 != 0 {
                return Err(Error::invalid(
                    "key",
                    format!("lies in {}, which others may read: chmod 600", path.display()),
                ));
            }
        }
        if about.len() > KEY_BYTES_MAX {
            return Err(Error::invalid("key", format!("may have at most {KEY_BYTES_MAX} bytes")));
        }
        Self::new(&std::fs::read_to_string(path).map_err(io)?)
    }

    /// The key itself, for a header.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = Key::new(" sk-secret\n").unwrap();
        assert_eq!(key.reveal(), "sk-secret");
        assert_eq!(format!("{key:?}"), "Key(hidden)");
        assert!(Key::new(" ").is_err() && Key::new("a\nb").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-secret\n").unwrap();
        let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        allow(0o644);
        let refused = Key::from_file(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains("sk-secret"), "{refused}");
        allow(0o600);
        assert_eq!(Key::from_file(&path).unwrap().reveal(), "sk-secret");
    }
}
