/* Times and sizes in words. */

const STEPS = [[60, "second"], [60, "minute"], [24, "hour"], [7, "day"]];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function ago(time) {
  let amount = Math.max(0, (Date.now() - time) / 1000);
  if (amount < 45) return "now";
  for (const [size, unit] of STEPS) {
    if (amount < size) return RELATIVE.format(-Math.round(amount), unit);
    amount /= size;
  }
  return DAY.format(time);
}

export const exactly = (time) => EXACT.format(time);

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${Math.round(count / 1024)} KB`;
  return `${(count / 1024 / 1024).toFixed(1)} MB`;
}

export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
