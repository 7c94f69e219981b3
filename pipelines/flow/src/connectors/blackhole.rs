//! `connector = 'blackhole'`: a sink that forgets.

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::{Connector, Error, Result, Sink, SinkContext, Source, TableDef};

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Blackhole;

#[async_trait]
impl Connector for Blackhole {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        Err(Error::Invalid(format!(
            "table {}: a blackhole gives nothing back; read another connector",
            table.name
        )))
    }

    async fn sink(&self, _: &TableDef, _: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Sink for Blackhole {
    async fn write(&mut self, _: RecordBatch) -> Result<()> {
        Ok(())
    }

    async fn stage(&mut self, _: u64) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    async fn commit(&mut self, _: u64, _: &serde_json::Value) -> Result<()> {
        Ok(())
    }
}
