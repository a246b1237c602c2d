//! Glob patterns of `ignorePatterns`: `*`, `**`, `?` and `{a,b}`.

/** Tells whether a path (relative, with `/`) matches one of the patterns. */
export function matcher(patterns: readonly string[]): (path: string) => boolean {
  const expressions = patterns.map(expression);
  return (path) => expressions.some((pattern) => pattern.test(path));
}

function expression(pattern: string): RegExp {
  // A pattern without a folder names files anywhere, as in .gitignore.
  const anchored = pattern.replace(/^\.\//, "");
  const whole = anchored.includes("/") ? anchored : `**/${anchored}`;
  let text = "";
  for (let at = 0; at < whole.length; at++) {
    const char = whole.charAt(at);
    if (whole.startsWith("**/", at)) {
      text += "(?:[^/]+/)*";
      at += 2;
    } else if (whole.startsWith("**", at)) {
      text += ".*";
      at += 1;
    } else if (char === "*") text += "[^/]*";
    else if (char === "?") text += "[^/]";
    else if (char === "{") text += "(?:";
    else if (char === "}") text += ")";
    else if (char === ",") text += "|";
    else text += char.replace(/[\\^$.|+()[\]]/g, "\\$&");
  }
  // A pattern that names a folder covers what is in it.
  return new RegExp(`^${text}(?:/.*)?$`);
}
