// The page's colours for a canvas, resolved for the theme in force.

export type Colour = "ink" | "muted" | "line" | "ember" | "ember-soft" | "sea" | "plum" | "surface";

export function colours(): (name: Colour) => string {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = new Map<string, string>();
  for (const name of ["ink", "muted", "line", "ember", "ember-soft", "sea", "plum", "surface"]) {
    probe.style.color = `var(--${name})`;
    found.set(name, getComputedStyle(probe).color);
  }
  probe.remove();
  return (name) => found.get(name) ?? "gray";
}
