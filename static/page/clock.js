const TIME = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });

/** @param {Date} date */
export const timeOf = (date) => TIME.format(date);
/** @param {Date} date */
export const fullTimeOf = (date) => FULL.format(date);

/** @param {Date} date @param {Date} [now] */
export function dayOf(date, now = new Date()) {
  const days = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return (date.getFullYear() === now.getFullYear() ? DAY : DAY_OF_YEAR).format(date);
}

/** @param {Date} a @param {Date} b */
export const sameDay = (a, b) => midnight(a) === midnight(b);

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/**
 * Tells the seconds that are left, now and every second, 0 last.
 * @param {number} until @param {(seconds: number) => void} tell
 * @returns {() => void} ends it early
 */
export function countdown(until, tell) {
  let timer = 0;
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    if (seconds > 0) timer = setTimeout(tick, 1000);
    tell(seconds);
  };
  tick();
  return () => clearTimeout(timer);
}
