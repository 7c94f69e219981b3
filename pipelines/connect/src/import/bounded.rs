//! A reader that refuses to hand out more than a budget at a time: no record of a hostile file can fill memory.

use std::fmt;
use std::io::{self, BufRead, Read};

/// The budget between two calls of [`Bounded::renew`] is spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverBudget {
    /// The budget, in bytes.
    pub(crate) bytes_max: u64,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a single record is larger than {} bytes", self.bytes_max)
    }
}

impl std::error::Error for OverBudget {}

/// Whether an I/O error is a spent budget.
pub(crate) fn over_budget(error: &io::Error) -> Option<&OverBudget> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Reads from `inner`, at most `bytes_max` between renewals.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    inner: R,
    left: u64,
    bytes_max: u64,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, bytes_max: u64) -> Self {
        Self { inner, left: bytes_max, bytes_max }
    }

    /// Gives the whole budget again: call it before each record.
    pub(crate) fn renew(&mut self) {
        self.left = self.bytes_max;
    }

    fn allowance(&self) -> io::Result<usize> {
        match usize::try_from(self.left).unwrap_or(usize::MAX) {
            0 => Err(io::Error::other(OverBudget { bytes_max: self.bytes_max })),
            left => Ok(left),
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(self.allowance()?);
        let n = self.inner.read(&mut buf[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let most = self.allowance()?;
        let buf = self.inner.fill_buf()?;
        Ok(&buf[..buf.len().min(most)])
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount as u64);
        self.inner.consume(amount);
    }
}
