//! Who owns which block of the cache, and which full blocks can be used again by a prompt that begins alike.
//!
//! A block's key is a hash chain over the tokens from the start of the prompt, begun with the scope: adapter, generation
//! and tenant, or no tenant for a prefix that its owner marked public. So nobody finds a block of another tenant's
//! words, and no block of another generation.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

/// A full block's key.
pub(crate) type Key = [u8; 32];

/// Whose words and weights made a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// Name and generation; `None` is the base.
    pub(crate) adapter: Option<(&'a str, u64)>,
    pub(crate) tenant: &'a str,
}

/// Keys of the full blocks of `tokens`. Blocks that end within the first `public` tokens are everybody's.
pub(crate) fn keys(tokens: &[u32], block_tokens: usize, scope: Scope<'_>, public: usize) -> Vec<Key> {
    let mut chain = Sha256::new();
    if let Some((name, generation)) = scope.adapter {
        chain.update((name.len() as u64).to_le_bytes());
        chain.update(name);
        chain.update(generation.to_le_bytes());
    }
    let mut previous: Key = chain.finalize().into();
    let full = tokens.chunks_exact(block_tokens).enumerate();
    full.map(|(number, tokens)| {
        let mut hash = Sha256::new();
        hash.update(previous);
        if (number + 1) * block_tokens > public {
            hash.update([1_u8]);
            hash.update((scope.tenant.len() as u64).to_le_bytes());
            hash.update(scope.tenant);
        }
        tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
        previous = hash.finalize().into();
        previous
    })
    .collect()
}

/// The cache's blocks. Every block is free, owned by rows, or kept for its content with no owner.
#[derive(Debug)]
pub(crate) struct Blocks {
    free: Vec<u32>,
    /// Rows that own it and its key, by block.
    owned: Vec<(u32, Option<Key>)>,
    by_key: HashMap<Key, u32>,
    /// Kept blocks without an owner, by when they lost it.
    kept: BTreeMap<u64, u32>,
    kept_at: HashMap<u32, u64>,
    ticks: u64,
}

impl Blocks {
    pub(crate) fn new(blocks: usize) -> Self {
        Self {
            free: (0..blocks as u32).rev().collect(),
            owned: vec![(0, None); blocks],
            by_key: HashMap::new(),
            kept: BTreeMap::new(),
            kept_at: HashMap::new(),
            ticks: 0,
        }
    }

    /// Blocks that a new row could have.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.kept.len()
    }

    /// Takes the longest run of blocks from the start whose keys are here.
    pub(crate) fn share(&mut self, keys: &[Key]) -> Vec<u32> {
        let found: Vec<u32> = keys.iter().map_while(|key| self.by_key.get(key).copied()).collect();
        for block in &found {
            if let Some(at) = self.kept_at.remove(block) {
                self.kept.remove(&at);
            }
            self.owned[*block as usize].0 += 1;
        }
        found
    }

    /// Takes `count` blocks, of kept ones the longest without an owner first; `None` if there are not so many.
    pub(crate) fn take(&mut self, count: usize) -> Option<Vec<u32>> {
        if count > self.available() {
            return None;
        }
        let mut taken = self.free.split_off(self.free.len().saturating_sub(count));
        while taken.len() < count {
            let (_, block) = self.kept.pop_first()?;
            self.kept_at.remove(&block);
            if let Some(key) = self.owned[block as usize].1.take() {
                self.by_key.remove(&key);
            }
            taken.push(block);
        }
        taken.iter().for_each(|block| self.owned[*block as usize].0 = 1);
        Some(taken)
    }

    /// `block` is now full and holds what `key` says. The first block of a key is the one that is found.
    pub(crate) fn publish(&mut self, block: u32, key: Key) {
        if self.owned[block as usize].1.is_none() && !self.by_key.contains_key(&key) {
            self.by_key.insert(key, block);
            self.owned[block as usize].1 = Some(key);
        }
    }

    /// A row lets its blocks go. Its last blocks are thrown out first later on: a prefix is of more use.
    pub(crate) fn release(&mut self, blocks: &[u32]) {
        for block in blocks.iter().rev() {
            let (owners, key) = &mut self.owned[*block as usize];
            *owners -= 1;
            match (*owners, key) {
                (0, Some(_)) => {
                    self.ticks += 1;
                    self.kept.insert(self.ticks, *block);
                    self.kept_at.insert(*block, self.ticks);
                }
                (0, None) => self.free.push(*block),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Scope<'_> = Scope { adapter: Some(("x", 1)), tenant: "a" };

    #[test]
    fn keys_part_tenants_adapters_and_generations() {
        let tokens: Vec<u32> = (0..10).collect();
        let own = keys(&tokens, 4, A, 0);
        assert_eq!(own.len(), 2, "only full blocks");
        assert_eq!(keys(&tokens[..9], 4, A, 0), own, "the rest does not matter");
        for (case, scope, public, shared) in [
            ("the same", A, 0, 2),
            ("another tenant", Scope { tenant: "b", ..A }, 0, 0),
            ("another adapter", Scope { adapter: Some(("y", 1)), ..A }, 0, 0),
            ("another generation", Scope { adapter: Some(("x", 2)), ..A }, 0, 0),
            ("the base", Scope { adapter: None, ..A }, 0, 0),
        ] {
            let other = keys(&tokens, 4, scope, public);
            assert_eq!(own.iter().zip(&other).take_while(|(a, b)| a == b).count(), shared, "{case}");
        }
        let both = |public| [A, Scope { tenant: "b", ..A }].map(|scope| keys(&tokens, 4, scope, public));
        let shared = |[a, b]: [Vec<Key>; 2]| a.iter().zip(&b).filter(|(a, b)| a == b).count();
        assert_eq!([0, 3, 4, 7, 8].map(|public| shared(both(public))), [0, 0, 1, 1, 2]);
        let mut changed = tokens.clone();
        changed[0] = 99;
        assert!(keys(&changed, 4, A, 0).iter().zip(&own).all(|(a, b)| a != b), "a chain");
    }

    #[test]
    fn blocks_are_shared_kept_and_thrown_out() {
        let mut blocks = Blocks::new(4);
        let keys = keys(&(0..12).collect::<Vec<_>>(), 4, A, 0);
        assert!(blocks.share(&keys).is_empty());
        let first = blocks.take(3).unwrap();
        for (block, key) in first.iter().zip(&keys) {
            blocks.publish(*block, *key);
        }
        assert_eq!(blocks.share(&keys[..2]), first[..2]);
        blocks.release(&first);
        assert_eq!(blocks.available(), 2, "two are owned by the second row");
        blocks.release(&first[..2]);
        assert_eq!(blocks.available(), 4);
        assert!(blocks.take(5).is_none());
        let other = blocks.take(2).unwrap();
        assert_eq!(blocks.share(&keys), first[..2], "the end of the chain went first");
        assert!(blocks.take(1).is_none());
        blocks.release(&other);
        blocks.release(&first[..2]);
        assert_eq!(blocks.available(), 4);
    }
}
