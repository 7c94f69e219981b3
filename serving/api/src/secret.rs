//! Secrets: made from the system's generator, stored only as their hash.

use rand::TryRng as _;
use sha2::{Digest as _, Sha256};

/// 32 random bytes in hexadecimal.
///
/// # Errors
/// When the system has no randomness to give.
pub fn new_secret() -> Result<String, rand::rngs::SysError> {
    let mut bytes = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// A new bearer token: `cw_` and a secret.
pub(crate) fn new_token() -> Result<String, rand::rngs::SysError> {
    Ok(format!("cw_{}", new_secret()?))
}

/// What is stored of a token. A token has 256 bits of entropy, so a plain hash cannot be guessed.
pub(crate) fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
