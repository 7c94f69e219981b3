//! Draws plans as SVG: sources on top, each step below what it takes its rows from, the sink at the bottom.

use std::fmt::Write as _;

use crave_flow::PlanNode;

/// Characters of a line in a box.
const LINE_CHARS: usize = 52;
/// Lines of a box; a longer detail is cut, the text output has all of it.
const LINES_MAX: usize = 8;
const BOX_WIDTH: usize = 400;
const LINE_HEIGHT: usize = 17;
const GAP: usize = 34;
const MARGIN: usize = 24;

/// A box: its lines, its middle, how many steps it is from the sink, and the box its rows go to.
struct Placed {
    title: String,
    lines: Vec<String>,
    middle: usize,
    level: usize,
    to: Option<usize>,
}

/// The plans of a program side by side.
pub(super) fn svg(name: &str, plans: &[PlanNode]) -> String {
    let mut boxes = Vec::new();
    let mut leaves = 0;
    for plan in plans {
        place(plan, 0, None, &mut leaves, &mut boxes);
    }
    let levels = boxes.iter().map(|b| b.level + 1).max().unwrap_or(0);
    // A level is as high as its highest box; the furthest from the sink is on top.
    let mut tops = vec![0; levels];
    let mut bottom = 2 * MARGIN + LINE_HEIGHT;
    for level in (0..levels).rev() {
        tops[level] = bottom;
        bottom += boxes.iter().filter(|b| b.level == level).map(height).max().unwrap_or(0) + GAP;
    }
    let width = leaves * (BOX_WIDTH + GAP) + 2 * MARGIN;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom}" viewBox="0 0 {width} {bottom}">
<style>text{{font:13px monospace;fill:#1c2733}}.t{{font-weight:bold}}rect{{fill:#f4f6f8;stroke:#7b8a99}}.source{{fill:#dcebfb}}.sink{{fill:#ddf3e1}}.state{{fill:#fdeecb}}path{{fill:none;stroke:#7b8a99;stroke-width:1.5}}</style>
<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8" fill="none"/></marker></defs>
<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>
<text class="t" x="{MARGIN}" y="{}">{}</text>
"##,
        MARGIN + LINE_HEIGHT,
        escaped(name)
    );
    for one in &boxes {
        let top = tops[one.level];
        if let Some(to) = one.to.map(|to| &boxes[to]) {
            let (from_y, to_y) = (top + height(one), tops[to.level]);
            let half = from_y.midpoint(to_y);
            let (x, to_x) = (one.middle, to.middle);
            let _ = writeln!(
                out,
                r#"<path d="M{x} {from_y}C{x} {half} {to_x} {half} {to_x} {to_y}" marker-end="url(#a)"/>"#
            );
        }
        let left = one.middle - BOX_WIDTH / 2;
        let _ = writeln!(
            out,
            r#"<rect class="{}" x="{left}" y="{top}" width="{BOX_WIDTH}" height="{}" rx="6"/>"#,
            class(&one.title),
            height(one)
        );
        for (row, line) in std::iter::once(&one.title).chain(&one.lines).enumerate() {
            let y = top + (row + 1) * LINE_HEIGHT + 2;
            let class = if row == 0 { r#" class="t""# } else { "" };
            let _ = writeln!(out, r#"<text{class} x="{}" y="{y}">{}</text>"#, left + 10, escaped(line));
        }
    }
    out + "</svg>\n"
}

/// Places a step in the middle above its inputs; gives its middle.
fn place(
    node: &PlanNode,
    level: usize,
    to: Option<usize>,
    leaves: &mut usize,
    boxes: &mut Vec<Placed>,
) -> usize {
    let index = boxes.len();
    let lines = wrapped(&node.detail);
    boxes.push(Placed { title: node.title.clone(), lines, middle: 0, level, to });
    let inputs: Vec<_> =
        node.inputs.iter().map(|input| place(input, level + 1, Some(index), leaves, boxes)).collect();
    let middle = match (inputs.first(), inputs.last()) {
        (Some(first), Some(last)) => first.midpoint(*last),
        _ => {
            *leaves += 1;
            MARGIN + (*leaves - 1) * (BOX_WIDTH + GAP) + BOX_WIDTH / 2
        }
    };
    boxes[index].middle = middle;
    middle
}

fn height(one: &Placed) -> usize {
    (one.lines.len() + 1) * LINE_HEIGHT + 12
}

/// Lines of at most [`LINE_CHARS`], broken at spaces where there are some.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.len() <= LINE_CHARS => {
                line.push(' ');
                line.extend(word.drain(..));
            }
            _ => {
                while !word.is_empty() {
                    lines.push(word.drain(..word.len().min(LINE_CHARS)).collect());
                }
            }
        }
    }
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX);
        lines[LINES_MAX - 1].push('…');
    }
    lines
}

fn class(title: &str) -> &'static str {
    match title.split(' ').next() {
        Some("TableScan") => "source",
        Some("Sink") => "sink",
        // What keeps state: windows, joins, rankings.
        Some("Projection" | "Filter" | "SubqueryAlias" | "Union" | "Unnest") => "step",
        _ => "state",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(title: &str, detail: &str, inputs: Vec<PlanNode>) -> PlanNode {
        PlanNode { title: title.to_owned(), detail: detail.to_owned(), inputs }
    }

    #[test]
    fn every_step_is_drawn_once_and_escaped() {
        let scan = |name: &str| node("TableScan", name, Vec::new());
        let join =
            node("Join", "a.x < b.x & \"y\"", vec![scan("a"), node("Filter", "n > 1", vec![scan("b")])]);
        let text = svg("job", &[node("Sink out", "connector blackhole", vec![join])]);
        assert_eq!(text.matches("<rect class=").count(), 5);
        assert_eq!(text.matches("marker-end").count(), 4);
        assert!(text.contains("a.x &lt; b.x &amp;") && !text.contains("a.x < b.x"));
        assert!(text.ends_with("</svg>\n"));
    }

    #[test]
    fn long_details_are_broken_and_cut() {
        assert_eq!(wrapped("a b"), ["a b"]);
        let lines = wrapped(&"word ".repeat(1000));
        assert_eq!(lines.len(), LINES_MAX);
        assert!(
            lines.iter().all(|l| l.chars().count() <= LINE_CHARS + 1) && lines[LINES_MAX - 1].ends_with('…')
        );
        assert!(wrapped(&"x".repeat(200)).iter().all(|l| l.len() <= LINE_CHARS));
    }
}
