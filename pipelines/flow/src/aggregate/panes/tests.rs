//! Panes are tested through the cases.
