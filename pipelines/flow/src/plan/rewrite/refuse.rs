//! What is refused: where it stands, why, and what to write instead.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::Rewriter;
use crate::locate::{Find, locate};
use crate::{Error, Result};

impl Rewriter<'_> {
    pub(super) fn refuse(&self, plan: &LogicalPlan) -> Error {
        let (find, what, instead) = match plan {
            LogicalPlan::Sort(_) => (Find::OrderBy, "ORDER BY", "order when you read the table"),
            LogicalPlan::Limit(_) => (
                Find::Limit,
                "LIMIT",
                "keep the first of each window: row_number() OVER (PARTITION BY window ORDER BY …) <= n",
            ),
            LogicalPlan::Distinct(_) => {
                (Find::Distinct, "SELECT DISTINCT ON", "use first_value in a GROUP BY of those columns")
            }
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => (
                Find::Select,
                "a SELECT without a source",
                "select from a CREATE TABLE … WITH (type = 'source')",
            ),
            LogicalPlan::RecursiveQuery(_) => (Find::With, "a recursive query", "write it without recursion"),
            LogicalPlan::Subquery(_) => (Find::Subquery, "a subquery here", "write it as a join"),
            _ => (Find::Select, "this query", "use projections, filters, UNION ALL, GROUP BY and joins"),
        };
        self.unsupported(&find, what, instead)
    }

    /// A query inside an expression would be evaluated over a whole table.
    pub(super) fn no_subquery(&self, expr: &Expr) -> Result<()> {
        let mut found = false;
        let seen = expr.apply(|e| {
            found |= matches!(
                e,
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
            );
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        seen.map_err(Error::plan("looking for subqueries"))?;
        if found {
            return Err(self.unsupported(
                &Find::Subquery,
                "a subquery inside an expression",
                "write it as a join (on the window too, to join as windows close)",
            ));
        }
        Ok(())
    }

    pub(crate) fn unsupported(&self, find: &Find<'_>, reason: &str, instead: &str) -> Error {
        Error::Unsupported {
            program: self.program.to_owned(),
            at: locate(find, &self.queries),
            reason: format!("{reason} is not supported in a stream"),
            instead: instead.to_owned(),
        }
    }
}
