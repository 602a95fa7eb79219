/** Waits for a condition, never for a time; when it gives up it says what it saw last. */
export async function until(what, deadlineMs, condition) {
  const end = Date.now() + deadlineMs;
  let last;
  do {
    last = await condition();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 25));
  } while (Date.now() < end);
  throw new Error(`not within ${deadlineMs} ms: ${what}`);
}

/** Watches that something holds all the while. */
export async function throughout(what, ms, condition) {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (!(await condition())) throw new Error(`did not hold for ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
