// The token: taken from the URL fragment or pasted, kept for this tab only, never left in the address bar.

const KEY = "crave.token";
/** Where the tab's storage is refused, the token lives as long as the page. */
let memory: string | null = null;

/** The token in a fragment such as `#token=abc`, or null. */
export function tokenOfFragment(fragment: string): string | null {
  const token = new URLSearchParams(fragment.replace(/^#/, "")).get("token")?.trim();
  return token ? token : null;
}

/** Moves a token from the address bar into the tab's storage. Returns whether there was one. */
export function takeTokenFromAddress(): boolean {
  const token = tokenOfFragment(location.hash);
  if (token === null) return false;
  history.replaceState(null, "", location.pathname + location.search);
  keepToken(token);
  return true;
}

export function keepToken(token: string): void {
  memory = token;
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // Storage refused: `memory` holds it.
  }
}

export function token(): string | null {
  try {
    return sessionStorage.getItem(KEY) ?? memory;
  } catch {
    return memory;
  }
}

export function forgetToken(): void {
  memory = null;
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept there.
  }
}
