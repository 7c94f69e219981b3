//! A program's plan as a tree, for whoever draws it.

use std::fmt;

use datafusion::logical_expr::LogicalPlan;

use crate::TableDef;

/// One step of a plan, and the steps whose rows it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanNode {
    /// What kind of step it is: `TableScan`, `Filter`, `WindowAggregate`, …
    pub title: String,
    /// What it does, as SQL expressions.
    pub detail: String,
    /// Where its rows come from.
    pub inputs: Vec<PlanNode>,
}

impl PlanNode {
    /// The steps that lead to a sink.
    pub(crate) fn of_sink(table: &TableDef, plan: &LogicalPlan) -> Self {
        Self {
            title: format!("Sink {}", table.name),
            detail: format!("connector {}", table.connector_name()),
            inputs: vec![Self::of(plan)],
        }
    }

    fn of(plan: &LogicalPlan) -> Self {
        let text = plan.display().to_string();
        let (title, detail) = text.split_once(':').unwrap_or((&text, ""));
        let inputs = plan.inputs().into_iter().map(Self::of).collect();
        Self { title: title.trim().to_owned(), detail: detail.trim().to_owned(), inputs }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let colon = if self.detail.is_empty() { "" } else { ": " };
        writeln!(f, "{:indent$}{}{colon}{}", "", self.title, self.detail, indent = 2 * depth)?;
        self.inputs.iter().try_for_each(|input| input.write(f, depth + 1))
    }
}

/// A line a step, its inputs below it and further in.
impl fmt::Display for PlanNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Program;

    #[tokio::test]
    async fn a_plan_is_a_tree_from_the_sink_to_its_sources() {
        let sql = "
            CREATE TABLE s (ts TIMESTAMP, n BIGINT, WATERMARK FOR ts)
              WITH (connector = 'single_file', path = 'x', type = 'source');
            CREATE TABLE o (n BIGINT) WITH (connector = 'blackhole', type = 'sink');
            INSERT INTO o SELECT rows FROM (
              SELECT tumble(INTERVAL '1 hour') AS window, count(*) AS rows FROM s WHERE n > 3 GROUP BY window)";
        let program = Program::parse("job", sql, &BTreeMap::new()).await.unwrap();
        let tree = &program.plan_trees()[0];
        assert_eq!((tree.title.as_str(), tree.detail.as_str()), ("Sink o", "connector blackhole"));
        let mut node = tree;
        while let Some(input) = node.inputs.first() {
            node = input;
        }
        assert_eq!(node.title, "TableScan");
        let text = tree.to_string();
        assert!(
            text.contains("WindowAggregate: tumble(1 hour) of") && text.contains("n > Int64(3)"),
            "{text}"
        );
    }
}
