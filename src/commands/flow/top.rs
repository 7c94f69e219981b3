//! `crave flow top`: what the jobs of a home's server are doing, refreshed each second.

mod page;
mod text;

use std::{io::Write as _, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use console::Term;

use crate::{home::Home, node::Status, operator::Operator};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Flags of `flow top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print it once, with the rates of one second, and end.
    #[arg(long)]
    once: bool,
    /// Draw it in a browser on this machine instead: prints the page's address, whose secret is all that guards it.
    /// Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:0", conflicts_with = "once")]
    page: Option<SocketAddr>,
}

pub(crate) async fn run(home: &Home, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let server = server(home).await?;
    if let Some(address) = args.page {
        return tokio::select! {
            served = page::serve(address, server) => served.map(|()| ExitCode::SUCCESS),
            pressed = tokio::signal::ctrl_c() => Ok(pressed.map(|()| ExitCode::SUCCESS)?),
        };
    }
    let term = Term::stdout();
    let redraw = term.is_term() && !args.once && !json;
    let screen = redraw.then(|| Screen::open(&term));
    let mut before: Option<Status> = None;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                return Ok(ExitCode::SUCCESS);
            }
        }
        let now = server.status().await?;
        // The first look has no rates yet.
        let shown = json || before.is_some() || redraw;
        if json {
            writeln!(&term, "{}", serde_json::to_string(&now)?)?;
        } else if let Some(screen) = &screen {
            screen.show(&text::lines(before.as_ref(), &now))?;
        } else if shown {
            writeln!(&term, "{}", text::lines(before.as_ref(), &now).join("\n"))?;
        }
        if args.once && shown {
            return Ok(ExitCode::SUCCESS);
        }
        before = Some(now);
    }
}

/// The server of this home.
async fn server(home: &Home) -> anyhow::Result<Operator> {
    let server = Operator::of_server(home).await?;
    server.with_context(|| format!("no server runs on {}; start it with `crave up`", home.path().display()))
}

/// The terminal while it is redrawn; given back as it was.
struct Screen<'a>(&'a Term);

impl<'a> Screen<'a> {
    fn open(term: &'a Term) -> Self {
        let _ = term.hide_cursor();
        let _ = term.clear_screen();
        Self(term)
    }

    /// Shows as many lines as there is room for, cut at the right edge.
    fn show(&self, lines: &[String]) -> std::io::Result<()> {
        let (height, width) = self.0.size();
        let (height, width) = (usize::from(height).saturating_sub(1), usize::from(width));
        let hidden = lines.len().saturating_sub(height);
        self.0.move_cursor_to(0, 0)?;
        for (at, line) in lines.iter().take(height).enumerate() {
            let last = hidden > 0 && at + 1 == height;
            let line = if last { format!("… {} more lines", hidden + 1) } else { line.clone() };
            self.0.clear_line()?;
            self.0.write_line(&line.chars().take(width).collect::<String>())?;
        }
        self.0.clear_to_end_of_screen()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
    }
}
